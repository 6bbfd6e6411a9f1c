"""The conformance suite: one class to subclass, one fixture to write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from experiment_framework.testing._cases.delivery import DeliveryCases
from experiment_framework.testing._cases.forks import ForkCases
from experiment_framework.testing._cases.harness import Harness
from experiment_framework.testing._cases.health import HealthCases
from experiment_framework.testing._cases.lifetime import LifetimeCases
from experiment_framework.testing._cases.options import OptionsCases
from experiment_framework.testing._cases.order import OrderCases
from experiment_framework.testing._cases.outages import OutageCases
from experiment_framework.testing._cases.reading import ReadingCases
from experiment_framework.testing._cases.threads import ThreadCases
from experiment_framework.testing.under_test import BackplaneUnderTest

__all__ = ["BackplaneConformance"]


class BackplaneConformance(
    OptionsCases,
    DeliveryCases,
    OrderCases,
    ThreadCases,
    LifetimeCases,
    HealthCases,
    OutageCases,
    ForkCases,
    ReadingCases,
):
    """What every backplane promises, as tests.

    Subclass it, with a name that pytest collects, and give a fixture ``under_test`` that returns a
    `BackplaneUnderTest` with an empty place of its own for every test::

        class TestMyBackplane(BackplaneConformance):
            @pytest.fixture
            def under_test(self, tmp_path):
                path = tmp_path / "events.jsonl"
                return BackplaneUnderTest(
                    plugin=MyBackplane,
                    options={"path": str(path)},
                    arrived=lambda: path.read_bytes().splitlines(),
                )

    A test that does not apply is skipped with a reason. Where a promise cannot be kept in the place
    that the tests use, override that test with one that skips and says why.
    """

    @pytest.fixture
    def under_test(self) -> BackplaneUnderTest:
        """What is tested: to be overridden."""
        name = type(self).__name__
        pytest.fail(
            f"{name} needs a fixture `under_test` that returns a BackplaneUnderTest", pytrace=False
        )

    @pytest.fixture
    def harness(self, under_test: BackplaneUnderTest) -> Iterator[Harness]:
        """Make data planes over what is tested, and close them in the end."""
        harness = Harness(under_test)
        yield harness
        harness.finish()

    @pytest.fixture
    def outage(self, harness: Harness) -> None:
        """Skip where the sink cannot be taken away."""
        if harness.under_test.take_away is None:
            pytest.skip("BackplaneUnderTest gives no `take_away`: the sink stays where it is")

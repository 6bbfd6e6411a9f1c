"""It keeps what every backplane promises."""

from pathlib import Path

import pytest
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest
from sample_backplane import SampleBackplane


class TestSample(BackplaneConformance):
    @pytest.fixture
    def under_test(self, tmp_path: Path) -> BackplaneUnderTest:
        folder, elsewhere = tmp_path / "events", tmp_path / "elsewhere"
        folder.mkdir()
        path = folder / "events.jsonl"
        return BackplaneUnderTest(
            plugin=SampleBackplane,
            options={"path": str(path)},
            arrived=lambda: path.read_bytes().splitlines() if path.exists() else [],
            take_away=lambda: folder.rename(elsewhere),
            bring_back=lambda: elsewhere.rename(folder),
        )

"""What a class has to have to be a pipeline step."""

from __future__ import annotations

from typing import Any

import pytest
from experiment_framework._registry import Registry
from experiment_framework.errors import HookError
from experiment_framework.plugin import Envelope, Phase, Step, option, options


@options
class StampOptions:
    stamp_text: str = option(default="", help="What is stamped.")
    odd: str = option(default="", key="oddlyNamed", help="A key that is not its field's name.")


class Stamp(Step[StampOptions]):
    phase = Phase.ENRICH

    def apply(self, envelope: Envelope) -> Envelope:
        return envelope


def load(step: Any, key: str = "stampText") -> type[Step[Any]]:
    registry = Registry(environ={})
    registry.register_step(key, step)
    return registry.load_step(key)


def fault(step: Any, key: str = "stampText") -> str:
    with pytest.raises(HookError) as caught:
        load(step, key)
    assert caught.value.plugin == key
    return str(caught.value)


@pytest.mark.parametrize("key", ["stampText", "oddlyNamed"])
def test_a_step_is_selected_by_each_key_of_its_options(key: str) -> None:
    assert load(Stamp, key) is Stamp


@pytest.mark.parametrize("key", ["stamp_text", "odd", "other"])
def test_a_key_that_is_none_of_its_options_is_refused(key: str) -> None:
    assert "they have stampText, oddlyNamed" in fault(Stamp, key)


@pytest.mark.parametrize("thing", [None, object(), StampOptions, Stamp(StampOptions())])
def test_what_is_no_step_class_is_refused(thing: object) -> None:
    assert "no subclass of experiment_framework.plugin.Step" in fault(thing)


def test_a_misspelt_method_is_answered_with_the_one_meant() -> None:
    class Misspelt(Step[StampOptions]):
        phase = Phase.ENRICH

        def aply(self, envelope: Envelope) -> Envelope:
            return envelope

    assert "it has no method 'apply'" in fault(Misspelt)
    assert "'aply' is never called; did you mean 'apply'?" in fault(Misspelt)


def test_a_step_may_have_methods_of_its_own() -> None:
    class Rich(Stamp):
        def describe(self) -> str:
            return "rich"

    assert load(Rich) is Rich


def test_an_async_apply_is_refused() -> None:
    class Waiting(Step[StampOptions]):
        phase = Phase.ENRICH

        async def apply(self, envelope: Envelope) -> Envelope:  # type: ignore[override]
            return envelope

    assert "'apply' is an async function" in fault(Waiting)


def test_a_step_without_a_phase_or_options_is_refused() -> None:
    class Bare(Step):  # type: ignore[type-arg]
        def apply(self, envelope: Envelope) -> Envelope:
            return envelope

    text = fault(Bare)
    assert "it has no phase" in text
    assert "it has no options class" in text

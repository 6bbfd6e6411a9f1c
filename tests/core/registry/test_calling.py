"""How arguments of a hook reach an implementation that takes them in its own way."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from experiment_framework._registry.calling import HOOKS, Call, nearest
from hypothesis import given
from hypothesis import strategies as st

SPECIFIED = ("options", "context", "timeout")
VALUES = (1, 2, 3)


def call_of(function: Callable[..., Any]) -> Call:
    return Call.of(SPECIFIED, list(inspect.signature(function).parameters.values()))


@given(taken=st.lists(st.sampled_from(SPECIFIED), unique=True), split=st.integers(0, 3))
def test_any_selection_in_any_order_gets_the_right_values(taken: list[str], split: int) -> None:
    by_position, by_keyword = taken[:split], taken[split:]
    parameters = ", ".join(by_position + (["*", *by_keyword] if by_keyword else []))
    names = ", ".join(f"{name}={name}" for name in taken)
    function = eval(f"lambda {parameters}: dict({names})")  # noqa: S307  # our own text
    call = call_of(function)
    assert not call.faults
    expected = dict(zip(SPECIFIED, VALUES, strict=True))
    assert call.adapt(function)(*VALUES) == {name: expected[name] for name in taken}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda *everything: everything, (1, 2, 3)),
        (lambda context, *others: (context, others), (2, (1, 3))),
        (lambda **everything: everything, {"options": 1, "context": 2, "timeout": 3}),
        (lambda timeout, /, *, options: (timeout, options), (3, 1)),
        (lambda timeout=9: timeout, 3),
        (lambda own=7, timeout=9: (own, timeout), (7, 3)),
    ],
)
def test_open_signatures_and_defaults_get_what_the_hook_gives(
    function: Callable[..., Any], expected: object
) -> None:
    call = call_of(function)
    assert not call.faults
    assert call.adapt(function)(*VALUES) == expected


def test_what_takes_everything_in_order_is_called_directly() -> None:
    def function(options: int, context: int, timeout: int) -> None: ...

    assert call_of(function).adapt(function) is function


def test_every_hook_is_known_with_its_arguments() -> None:
    assert HOOKS["publish"] == ("record",)
    assert HOOKS["open"] == ("options", "context")
    assert HOOKS["after_fork"] == ()
    assert HOOKS["dead_letter"] == ("record", "reason")


@pytest.mark.parametrize(
    ("name", "expected"), [("flsh", "flush"), ("FLUSH", "flush"), ("zzz", None), ("", None)]
)
def test_the_nearest_name_is_near(name: str, expected: str | None) -> None:
    assert nearest(name, tuple(HOOKS)) == expected

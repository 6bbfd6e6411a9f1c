"""What ends a command before its time, and how it exits then."""

from __future__ import annotations

import pytest
from experiment_framework._cli.ending import Ending
from experiment_framework._termination import Terminated


@pytest.mark.parametrize(("cause", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_an_interrupt_ends_the_block_and_gives_the_exit_code(
    cause: BaseException, code: int
) -> None:
    ending = Ending()
    with ending.contained():
        raise cause
    assert ending.is_early
    assert ending.exit_code(is_success=True) == code


def test_the_first_of_several_interrupts_counts() -> None:
    ending = Ending()
    for cause in (Terminated(), KeyboardInterrupt()):
        with ending.contained():
            raise cause
    assert ending.exit_code(is_success=True) == 143


def test_errors_and_other_exits_are_let_through() -> None:
    for error in (OSError("no"), SystemExit(3)):
        with pytest.raises(type(error)), Ending().contained():
            raise error


@pytest.mark.parametrize(("is_success", "code"), [(True, 0), (False, 1)])
def test_without_an_interrupt_it_counts_how_it_went(is_success: bool, code: int) -> None:
    ending = Ending()
    with ending.contained():
        pass
    assert not ending.is_early
    assert ending.exit_code(is_success=is_success) == code

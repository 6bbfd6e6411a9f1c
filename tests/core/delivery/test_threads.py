from __future__ import annotations

import threading

import pytest
from experiment_framework._delivery.threads import LazyThread, refuse_threads


def test_it_begins_with_its_first_work_and_once() -> None:
    began: list[str] = []
    done = threading.Event()

    def run() -> None:
        began.append(threading.current_thread().name)
        done.wait(10)

    lazy = LazyThread(run, "lazy")
    assert (lazy.is_there, lazy.is_alive) == (False, False)
    lazy.start()
    lazy.start()
    assert (lazy.is_there, lazy.is_alive, lazy.is_current) == (True, True, False)
    done.set()
    lazy.join(10)
    assert not lazy.is_alive
    assert began == ["lazy"]


@pytest.mark.parametrize("end", [None, KeyboardInterrupt()])
def test_what_comes_in_the_midst_of_its_start_starts_no_second_one(
    monkeypatch: pytest.MonkeyPatch, end: BaseException | None
) -> None:
    began: list[int] = []
    really_start = threading.Thread.start

    def start_and_be_interrupted(thread: threading.Thread) -> None:
        really_start(thread)
        lazy.start()
        if end is not None:
            raise end

    lazy = LazyThread(lambda: began.append(1), "lazy")
    monkeypatch.setattr(threading.Thread, "start", start_and_be_interrupted)
    if end is None:
        lazy.start()
    else:
        with pytest.raises(KeyboardInterrupt):
            lazy.start()
    lazy.start()
    lazy.join(10)
    assert began == [1]


def test_none_begins_where_the_process_ends() -> None:
    lazy = LazyThread(lambda: None, "lazy")
    refuse_threads(refuse=True)
    try:
        lazy.start()
        assert not lazy.is_there
    finally:
        refuse_threads(refuse=False)

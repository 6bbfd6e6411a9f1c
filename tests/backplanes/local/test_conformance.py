"""The local backplanes keep what every backplane promises."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest
from experiment_framework_local import FileBackplane, LoggingBackplane, MemoryBackplane


class TestFile(BackplaneConformance):
    @pytest.fixture
    def under_test(self, tmp_path: Path) -> BackplaneUnderTest:
        folder, aside = tmp_path / "events", tmp_path / "aside"
        folder.mkdir()
        path = folder / "events.jsonl"
        return BackplaneUnderTest(
            plugin=FileBackplane,
            options={"path": str(path), "fsync": "never"},
            arrived=lambda: path.read_bytes().splitlines() if path.exists() else (),
            take_away=lambda: folder.rename(aside),
            bring_back=lambda: aside.rename(folder),
        )


class TestMemory(BackplaneConformance):
    @pytest.fixture
    def under_test(self) -> BackplaneUnderTest:
        made: list[MemoryBackplane] = []

        class Remembered(MemoryBackplane):
            """Lets the test see each instance that a data plane makes."""

            def open(self) -> None:
                made.append(self)

        return BackplaneUnderTest(
            plugin=Remembered,
            arrived=lambda: [record.body for each in made for record in each.records],
            outlives_process=False,
        )


GIVEN_UP = "a logger that discards a line is a mistake of the set-up: nothing waits for it on disk"


class Lines(logging.Handler):
    """Keeps the text of each line."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage().encode())


class TestLogging(BackplaneConformance):
    @pytest.fixture
    def lines(self) -> Iterator[Lines]:
        lines = Lines()
        logger = logging.getLogger("conformance.events")
        logger.setLevel(logging.INFO)
        logger.addHandler(lines)
        yield lines
        logger.removeHandler(lines)
        logger.setLevel(logging.NOTSET)

    @pytest.fixture
    def under_test(self, lines: Lines) -> BackplaneUnderTest:
        logger = logging.getLogger("conformance.events")
        return BackplaneUnderTest(
            plugin=LoggingBackplane,
            options={"logger": logger.name},
            arrived=lambda: list(lines.texts),
            take_away=lambda: logger.setLevel(logging.ERROR),
            bring_back=lambda: logger.setLevel(logging.INFO),
            outlives_process=False,
        )

    def test_spooled_events_arrive_in_order_with_their_ids_once_the_sink_is_back(self) -> None:
        pytest.skip(GIVEN_UP)

    def test_what_a_data_plane_left_on_disk_arrives_from_the_next_one(self) -> None:
        pytest.skip(GIVEN_UP)

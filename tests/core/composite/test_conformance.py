"""Several backplanes keep what every single one promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiment_framework._composite import CompositeBackplane
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest


class TestComposite(BackplaneConformance):
    @pytest.fixture
    def under_test(self, tmp_path: Path) -> BackplaneUnderTest:
        folder, aside = tmp_path / "events", tmp_path / "aside"
        folder.mkdir()
        path = folder / "events.jsonl"
        members = {
            "file": {
                "type": "file",
                "options": {"path": str(path), "fsync": "never"},
                "flushIntervalMs": 20,
            },
            "memory": {"type": "memory", "required": False},
        }
        return BackplaneUnderTest(
            plugin=CompositeBackplane,
            options={"members": members},
            arrived=lambda: path.read_bytes().splitlines() if path.exists() else (),
            take_away=lambda: folder.rename(aside),
            bring_back=lambda: aside.rename(folder),
        )

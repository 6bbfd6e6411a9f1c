"""Messages as a person reads them, held in files: look at each change of them.

Write them anew with ``UPDATE_GOLDEN=1``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from experiment_framework._config import load
from experiment_framework._registry import Registry
from experiment_framework.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yaml")))
def test_messages_are_those_of_the_golden_file(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ConfigError) as caught:
        load(f"{name}.yaml", registry=registry, environ={})
    text = f"{caught.value}\n"
    expected = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    for problem in caught.value.problems:
        assert problem.location is not None
        assert str(problem.location) in text

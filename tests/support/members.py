"""The distributions of the workspace, found as uv finds them: by the globs of the root."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]


@attrs.frozen
class Member:
    """One distribution of the workspace.

    Attributes:
        directory: Where its ``pyproject.toml`` is.
        pyproject: What that says.
    """

    directory: Path
    pyproject: dict[str, Any] = attrs.field(repr=False)

    @classmethod
    def read(cls, directory: Path) -> Member:
        return cls(directory, tomllib.loads((directory / "pyproject.toml").read_text("utf-8")))

    @property
    def project(self) -> dict[str, Any]:
        project: dict[str, Any] = self.pyproject["project"]
        return project

    @property
    def name(self) -> str:
        name: str = self.project["name"]
        return name

    @property
    def packages(self) -> tuple[Path, ...]:
        """The folders of its packages; the umbrella has none."""
        if self.directory == ROOT:
            return ()
        return tuple(init.parent for init in self.directory.glob("*/__init__.py"))

    def files(self) -> set[str]:
        """What its packages hold, as paths inside a wheel."""
        return {
            path.relative_to(self.directory).as_posix()
            for package in self.packages
            for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
        }


UMBRELLA = Member.read(ROOT)
MEMBERS = (
    UMBRELLA,
    *(
        Member.read(path.parent)
        for pattern in UMBRELLA.pyproject["tool"]["uv"]["workspace"]["members"]
        for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))
    ),
)

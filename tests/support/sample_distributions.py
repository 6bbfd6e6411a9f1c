"""Real distributions of small plugins, built and installed for the tests that need them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from installing import install

BACKPLANES = "experiment_framework.backplanes"
STEPS = "experiment_framework.plugins"

_BUILD = """
import json, os, sys
from hatchling.build import build_wheel
for project, wheels in json.load(sys.stdin):
    os.chdir(project)
    build_wheel(wheels)
"""


@attrs.frozen
class Sample:
    """The source of a distribution with one module.

    Attributes:
        name: What the distribution is called; its module has underscores instead of hyphens.
        module: The text of the module.
        entry_points: For each group, names and the object in the module that they stand for.
        version: The distribution's version.
    """

    name: str
    module: str
    entry_points: Mapping[str, Mapping[str, str]]
    version: str = "1.0"

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    def write(self, directory: Path) -> Path:
        """Write the project, ready to be built."""
        project = directory / self.name
        package = project / self.package
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(self.module)
        (project / "pyproject.toml").write_text(self._pyproject())
        return project

    def _pyproject(self) -> str:
        lines = [
            "[build-system]",
            'requires = ["hatchling"]',
            'build-backend = "hatchling.build"',
            "[project]",
            f'name = "{self.name}"',
            f'version = "{self.version}"',
        ]
        for group, names in self.entry_points.items():
            lines.append(f'[project.entry-points."{group}"]')
            for name, target in names.items():
                reference = f"{self.package}:{target}" if target else self.package
                lines.append(f'{name} = "{reference}"')
        return "\n".join(lines) + "\n"


class SampleSite:
    """Samples that were built and installed, each in a directory of its own.

    A program is given those it is to find, in the order in which it is to find them.
    """

    def __init__(self, samples: Iterable[Sample], directory: Path) -> None:
        self._directory = directory
        wheels = directory / "wheels"
        jobs = [
            (str(sample.write(directory / "projects")), str(wheels / sample.name))
            for sample in samples
        ]
        subprocess.run(
            [sys.executable, "-c", _BUILD],
            input=json.dumps(jobs),
            text=True,
            check=True,
            timeout=60,
        )
        for _, built in jobs:
            name = Path(built).name
            install(Path(built).glob("*.whl"), directory / "sites" / name)

    def run(
        self, program: str, *names: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program that finds the samples named, beside what the workspace has."""
        path = os.pathsep.join(str(self._directory / "sites" / name) for name in names)
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": path, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, program: str, *names: str, environ: Mapping[str, str] | None = None) -> Any:
        """Run a program and give what it printed last, which is JSON."""
        done = self.run(program, *names, environ=environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

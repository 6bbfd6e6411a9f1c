"""Pins every dependency to what resolves today, in the root ``pyproject.toml``.

``uv.lock`` names the machine's package index, so it stays out of git; ``exclude-newer`` and
``constraint-dependencies`` make a fresh clone resolve to the same versions without it.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import tomlkit

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "uv.lock"

# A release that turns out to be bad is usually withdrawn within days.
COOLING_DAYS = 5


def main() -> None:
    newest = datetime.now(UTC).date() - timedelta(days=COOLING_DAYS)
    write(exclude_newer=f"{newest}T00:00:00Z", constraints=[])
    lock("--upgrade")
    pinned = constraints(tomllib.loads(LOCK.read_text())["package"])
    write(exclude_newer=f"{newest}T00:00:00Z", constraints=pinned)
    lock()
    print(f"{len(pinned)} versions pinned, none newer than {newest}")


def write(*, exclude_newer: str, constraints: list[str]) -> None:
    document = tomlkit.parse(PROJECT.read_text())
    settings: Any = document["tool"]["uv"]
    settings["exclude-newer"] = exclude_newer
    pinned = tomlkit.array().multiline(multiline=True)
    pinned.extend(constraints)
    settings["constraint-dependencies"] = pinned
    PROJECT.write_text(tomlkit.dumps(document))


def lock(*arguments: str) -> None:
    uv = os.environ.get("UV", "uv")
    subprocess.run([uv, "lock", "--quiet", *arguments], check=True, cwd=ROOT)


def constraints(packages: list[dict[str, Any]]) -> list[str]:
    """Give one requirement for each locked version, with the Pythons that it was chosen for."""
    versions = Counter(package["name"] for package in packages)
    return [
        f"{package['name']}=={package['version']}"
        + (_markers(package) if versions[package["name"]] > 1 else "")
        for package in packages
        if "registry" in package["source"]
    ]


def _markers(package: dict[str, Any]) -> str:
    return " ; " + " or ".join(f"({marker})" for marker in package["resolution-markers"])


if __name__ == "__main__":
    main()

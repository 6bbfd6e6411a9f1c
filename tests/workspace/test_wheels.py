"""What the distributions contain and claim, read from the wheels that were built."""

from __future__ import annotations

import configparser
import sys
import zipfile
from collections.abc import Mapping
from email.message import Message
from email.parser import HeaderParser
from itertools import chain
from pathlib import Path

import pytest
from members import MEMBERS, ROOT, UMBRELLA, Member

each_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
VERSION = UMBRELLA.project["version"]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (found,) = (each for each in archive.namelist() if each.endswith(f".dist-info/{name}"))
        return archive.read(found).decode()


def metadata(wheel: Path) -> Message:
    return HeaderParser().parsestr(read(wheel, "METADATA"))


@each_member
def test_a_wheel_holds_its_package_whole_and_nothing_else(
    member: Member, wheels: Mapping[str, Path]
) -> None:
    # Whole: schemas, templates and other data files as well as modules.
    code = {name for name in names(wheels[member.name]) if ".dist-info/" not in name}
    assert code == member.files()


def test_the_umbrella_has_no_modules(wheels: Mapping[str, Path]) -> None:
    assert all(".dist-info/" in name for name in names(wheels[UMBRELLA.name]))


@each_member
def test_every_package_is_typed(member: Member, wheels: Mapping[str, Path]) -> None:
    for package in member.packages:
        assert f"{package.name}/py.typed" in names(wheels[member.name])


@each_member
def test_the_licence_is_in_the_wheel_and_in_its_metadata(
    member: Member, wheels: Mapping[str, Path]
) -> None:
    wheel = wheels[member.name]
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    assert read(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")


@each_member
def test_all_distributions_have_one_version(member: Member, wheels: Mapping[str, Path]) -> None:
    assert metadata(wheels[member.name])["Version"] == VERSION


@each_member
def test_members_require_each_other_in_that_version(
    member: Member, wheels: Mapping[str, Path]
) -> None:
    required = metadata(wheels[member.name]).get_all("Requires-Dist") or []
    ours = [each.split(";")[0].strip() for each in required if each.startswith(UMBRELLA.name)]
    assert all(each.endswith(f"~={VERSION}") or "[" in each for each in ours), ours


@each_member
def test_a_description_is_there_for_the_package_index(
    member: Member, wheels: Mapping[str, Path]
) -> None:
    found = metadata(wheels[member.name])
    assert found["Summary"]
    assert found["Description-Content-Type"].startswith("text/markdown")
    assert str(found.get_payload()).strip()


@each_member
def test_all_claim_the_same_and_the_python_that_this_runs_on(
    member: Member, wheels: Mapping[str, Path]
) -> None:
    found = metadata(wheels[member.name])
    classifiers = found.get_all("Classifier") or []
    assert classifiers == UMBRELLA.project["classifiers"]
    assert "Typing :: Typed" in classifiers
    assert found["Requires-Python"] == ">=3.11"
    if sys.version_info[:2] == (3, 11):
        assert "Programming Language :: Python :: 3.11" in classifiers


@each_member
def test_entry_points_in_the_wheel_are_those_that_are_declared(
    member: Member, wheels: Mapping[str, Path]
) -> None:
    declared = {
        group: dict(points) for group, points in member.project.get("entry-points", {}).items()
    }
    if scripts := member.project.get("scripts"):
        declared["console_scripts"] = dict(scripts)
    found: dict[str, dict[str, str]] = {}
    if any(name.endswith("entry_points.txt") for name in names(wheels[member.name])):
        parser = configparser.ConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(read(wheels[member.name], "entry_points.txt"))
        found = {section: dict(parser[section]) for section in parser.sections()}
    assert found == declared


@each_member
def test_the_umbrella_knows_every_member(member: Member) -> None:
    if member is UMBRELLA:
        return
    project = UMBRELLA.project
    known = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    assert any(each.startswith(f"{member.name}~=") for each in known)

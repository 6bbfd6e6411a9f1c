from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from experiment_framework._cli.main import experiment
from experiment_framework._cli.plugin_project import PluginName, project_files

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(experiment, ["new-plugin", *arguments])


def test_it_writes_a_distribution_called_after_the_type(run: Run, tmp_path: Path) -> None:
    done = run("googlePubSub")

    assert done.exit_code == 0, done.output
    project = tomllib.loads(
        (tmp_path / "google-pub-sub-backplane" / "pyproject.toml").read_text("utf-8")
    )["project"]
    assert project["name"] == "google-pub-sub-backplane"
    assert project["entry-points"]["experiment_framework.backplanes"] == {
        "googlePubSub": "google_pub_sub_backplane:GooglePubSubBackplane"
    }


def test_it_says_in_json_what_it_wrote(run: Run, tmp_path: Path) -> None:
    said = json.loads(run("lines", "--directory", "here", "--json").output)

    assert said["directory"] == "here"
    written = {
        path.relative_to(tmp_path / "here").as_posix()
        for path in (tmp_path / "here").rglob("*")
        if path.is_file()
    }
    assert set(said["files"]) == written
    assert {".gitignore", ".github/workflows/test.yml", "lines_backplane/py.typed"} <= written


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_folder_that_exists_is_never_written_to(run: Run, tmp_path: Path, is_empty: bool) -> None:
    folder = tmp_path / "lines-backplane"
    folder.mkdir()
    if not is_empty:
        (folder / "mine.txt").write_text("mine")

    done = run("lines")

    assert done.exit_code == 2
    assert "lines-backplane exists already, and nothing is overwritten" in done.output
    assert [each.name for each in folder.iterdir()] == ([] if is_empty else ["mine.txt"])


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(run: Run) -> None:
    done = run("lines", "--directory", "not/there")

    assert done.exit_code == 1
    assert "not/there" in done.output


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("My Sink", "my-sink"),
        ("Redis", "redis"),
        ("my_sink", "my-sink"),
        ("my--sink", "my-sink"),
        ("my-sink-", "my-sink"),
        ("9lives", "9lives"),
        ("redis-backplane", "redis"),
        ("redisBackplane", "redis"),
        ("../redis", "redis"),
        ("réseau", None),
        ("x" * 41, "x" * 40),
        ("", None),
        (".", None),
    ],
)
def test_a_name_that_cannot_be_a_type_is_refused_with_a_suggestion(
    run: Run, tmp_path: Path, name: str, meant: str | None
) -> None:
    done = run(name)

    assert done.exit_code == 2, done.output
    assert "a type" in done.output
    suggestion = PluginName._nearest(name)
    assert suggestion is None or PluginName.fault(suggestion) is None
    if meant is not None and meant != name:
        assert f"Did you mean '{meant}'?" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_is_installed_is_refused(run: Run) -> None:
    done = run("file")

    assert done.exit_code == 2
    assert "a backplane of the type 'file' is installed already" in " ".join(done.output.split())


@pytest.mark.parametrize("name", ["redis", "sampler", "resample", "aB2-c", "class", "x"])
def test_whatever_the_name_every_file_is_sound_and_nothing_of_the_template_is_left(
    name: str,
) -> None:
    contents = project_files(PluginName(name))

    for path, text in contents.items():
        if path.endswith(".py"):
            ast.parse(text)
        if name in {"redis", "x"}:
            assert "sample" not in (path + text).lower()
    package = PluginName(name).package
    assert package.isidentifier()
    assert f"{package}/backplane.py" in contents
    assert PluginName(name).class_prefix.isidentifier()


def test_the_version_of_core_that_wrote_it_is_the_one_it_requires() -> None:
    text = project_files(PluginName("redis"))["pyproject.toml"]
    (required,) = tomllib.loads(text)["project"]["dependencies"]

    assert required == "experiment-framework-core~=0.1.0"

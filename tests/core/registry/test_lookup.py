"""How names are looked up, how often distributions are read, and what an unknown name gets."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from experiment_framework._registry import Registry
from experiment_framework._registry.inspection import inspect_all
from experiment_framework.errors import UnknownPluginError


@pytest.fixture
def registry() -> Registry:
    return Registry(environ={})


def test_distributions_are_scanned_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = []
    entry_points = metadata.entry_points

    def counted(**params: str) -> metadata.EntryPoints:
        scans.append(params)
        return entry_points(**params)

    monkeypatch.setattr(metadata, "entry_points", counted)
    assert not scans
    registry.backplane_names()
    registry.step_keys()
    registry.load_backplane("memory")
    registry.load_step("samplingRate")
    with pytest.raises(UnknownPluginError):
        registry.load_backplane("nothing-of-the-kind")
    assert len(scans) == 1


def test_a_plugin_is_loaded_once(registry: Registry) -> None:
    assert registry.load_backplane("memory") is registry.load_backplane("memory")


@pytest.mark.parametrize("name", ["memory", "logging", "file", "kafka"])
def test_our_own_backplanes_come_by_the_same_road_as_others(registry: Registry, name: str) -> None:
    plugin = registry.load_backplane(name)
    assert plugin.distribution is not None
    assert plugin.distribution.startswith("experiment-framework-")
    assert plugin.version is not None


def test_core_does_not_import_them_by_itself() -> None:
    assert "experiment_framework_local" not in vars(sys.modules["experiment_framework"])


@pytest.mark.parametrize(
    ("written", "meant"), [("kafak", "kafka"), ("Kafka", "kafka"), ("memroy", "memory")]
)
def test_a_misspelt_name_is_answered_with_the_nearest(
    registry: Registry, written: str, meant: str
) -> None:
    with pytest.raises(UnknownPluginError, match=f"Did you mean '{meant}'") as caught:
        registry.load_backplane(written)
    assert caught.value.plugin == written


def test_an_unknown_name_is_answered_with_all_there_are(registry: Registry) -> None:
    with pytest.raises(UnknownPluginError) as caught:
        registry.load_backplane("carrier-pigeon")
    assert all(name in str(caught.value) for name in registry.backplane_names())
    assert "experiment plugins" in str(caught.value)


def test_a_backplane_of_ours_that_is_not_installed_is_answered_with_how_to_install_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = metadata.EntryPoints()
    monkeypatch.setattr(metadata, "entry_points", lambda: nothing)
    with pytest.raises(UnknownPluginError, match=r"pip install 'experiment-framework\[kafka\]'"):
        registry.load_backplane("kafka")


def test_a_name_that_only_begins_like_one_of_ours_is_answered_with_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = metadata.EntryPoints()
    monkeypatch.setattr(metadata, "entry_points", lambda: nothing)
    with pytest.raises(UnknownPluginError, match=r"Did you mean 'sql'\? .*framework\[sql\]"):
        registry.load_backplane("sqlServer")


@pytest.mark.parametrize("written", ["postgresql", "postgres"])
def test_an_extra_is_answered_with_the_type_that_it_brings(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    nothing = metadata.EntryPoints()
    monkeypatch.setattr(metadata, "entry_points", lambda: nothing)
    with pytest.raises(UnknownPluginError, match=r"Did you mean 'sql'\? .*framework\[postgresql\]"):
        registry.load_backplane(written)


@pytest.mark.parametrize("written", ["zstd", "prometheus"])
def test_an_extra_that_brings_no_backplane_is_no_answer(registry: Registry, written: str) -> None:
    with pytest.raises(UnknownPluginError, match="Install the distribution that offers it"):
        registry.load_backplane(written)


@pytest.fixture
def with_hints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that says what some names mean, and breaks over others."""
    information = tmp_path / "hinting-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hinting\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[experiment_framework.backplane_hints]\n"
        "rabbitMq = hinting:TEXT\nnumber = hinting:NUMBER\nbroken = hinting.broken:TEXT\n"
    )
    package = tmp_path / "hinting"
    package.mkdir()
    (package / "__init__.py").write_text("TEXT = 'Use `type: amqp`'\nNUMBER = 7\n")
    (package / "broken.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("with_hints")
@pytest.mark.parametrize("written", ["rabbitMq", "RABBITMQ"])
def test_a_distribution_may_say_what_an_unknown_name_means(
    registry: Registry, written: str
) -> None:
    with pytest.raises(UnknownPluginError, match=r"Use `type: amqp`$"):
        registry.load_backplane(written)
    assert written not in registry.backplane_names()


@pytest.mark.usefixtures("with_hints")
@pytest.mark.parametrize("written", ["number", "broken"])
def test_a_hint_that_is_broken_leaves_the_name_unknown(registry: Registry, written: str) -> None:
    with pytest.raises(UnknownPluginError, match=f"no backplane is called '{written}'"):
        registry.load_backplane(written)


@pytest.mark.usefixtures("with_hints")
def test_a_hint_is_no_plugin(registry: Registry) -> None:
    assert "hinting" not in {each.distribution for each in registry.installed()}


def test_an_unknown_step_is_answered_with_the_nearest_key(registry: Registry) -> None:
    with pytest.raises(UnknownPluginError, match="Did you mean 'samplingRate'"):
        registry.load_step("samplingrate")


@pytest.mark.parametrize(
    "damage",
    {
        "entry_points.txt": b"[experiment_framework.backplanes]\nno equals sign\n",
        "METADATA": b"\xff\xfe",
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_damaged_distribution_spoils_no_other(
    registry: Registry, damage: tuple[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "damaged-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: damaged\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[experiment_framework.backplanes]\nx = y:z\n")
    (information / damage[0]).write_bytes(damage[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.load_backplane("memory").name == "memory"
    inspect_all(registry)

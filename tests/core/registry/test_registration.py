"""Plugins that are offered by code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from experiment_framework._registry import Registry, default_registry
from experiment_framework.errors import DuplicatePluginError, HookError, UnknownPluginError
from experiment_framework.plugin import (
    Backplane,
    Envelope,
    Phase,
    Record,
    Step,
    hookimpl,
    option,
    options,
    register,
)
from experiment_framework.plugin.registration import registrations


@options
class Options:
    rate: float = option(default=1.0, help="A rate.")


class Sink(Backplane[Options]):
    def write_batch(self, records: Sequence[Record]) -> None: ...


class OtherSink(Sink):
    pass


class Rate(Step[Options]):
    phase = Phase.DECIDE

    def apply(self, envelope: Envelope) -> Envelope:
        return envelope


@pytest.fixture
def registry() -> Registry:
    return Registry(environ={})


@pytest.fixture
def process_wide() -> Iterator[Registry]:
    kept = dict(registrations().backplanes), dict(registrations().steps)
    yield default_registry()
    registrations().backplanes, registrations().steps = kept


def test_a_registered_backplane_is_loaded_by_its_name(registry: Registry) -> None:
    registry.register_backplane("mine", Sink)
    plugin = registry.load_backplane("mine")
    assert (plugin.name, plugin.distribution, plugin.version) == ("mine", None, None)
    assert plugin.options_class is Options
    assert "mine" in registry.backplane_names()


def test_it_goes_before_an_installed_one(registry: Registry) -> None:
    registry.register_backplane("kafka", Sink)
    assert registry.load_backplane("kafka").target is Sink
    assert registry.backplane_names().count("kafka") == 1


def test_registering_the_same_again_changes_nothing(registry: Registry) -> None:
    registry.register_backplane("mine", Sink)
    registry.register_backplane("mine", Sink)
    registry.register_step("rate", Rate)
    registry.register_step("rate", Rate)
    assert registry.load_step("rate") is Rate


def test_a_class_that_was_defined_anew_replaces_the_one_before(registry: Registry) -> None:
    body = {"write_batch": Sink.write_batch, "__module__": "__main__"}
    first, second = (type("Mine", (Backplane,), dict(body)) for _ in range(2))
    registry.register_backplane("mine", first)
    registry.register_backplane("mine", second)
    assert registry.load_backplane("mine").target is second


def test_registering_another_by_the_same_name_names_both(registry: Registry) -> None:
    registry.register_backplane("mine", Sink)
    with pytest.raises(DuplicatePluginError, match=r"Sink.* already; .*OtherSink"):
        registry.register_backplane("mine", OtherSink)


def test_registries_do_not_share_registrations(registry: Registry) -> None:
    registry.register_backplane("mine", Sink)
    with pytest.raises(UnknownPluginError):
        Registry(environ={}).load_backplane("mine")


def test_the_public_function_registers_for_the_whole_process(process_wide: Registry) -> None:
    register("mine", Sink)
    register("rate", Rate)
    assert process_wide.load_backplane("mine").target is Sink
    assert process_wide.load_step("rate") is Rate
    assert default_registry() is process_wide


def test_an_instance_is_served_as_it_is(registry: Registry) -> None:
    class Plain:
        @hookimpl
        def write_batch(self, records: Sequence[Record]) -> None: ...

    plain = Plain()
    registry.register_backplane("plain", plain)
    assert registry.load_backplane("plain").create(None).plugin is plain


def test_a_plain_class_is_made_with_or_without_options(registry: Registry) -> None:
    class Without:
        @hookimpl
        def write_batch(self, records: Sequence[Record]) -> None: ...

    class With(Without):
        def __init__(self, options: Options) -> None:
            self.options = options

        @classmethod
        @hookimpl
        def configuration(cls) -> type[Options]:
            return Options

    registry.register_backplane("without", Without)
    registry.register_backplane("with", With)
    assert isinstance(registry.load_backplane("without").create(None).plugin, Without)
    plugin = registry.load_backplane("with")
    made = plugin.create(plugin.options_class()).plugin
    assert isinstance(made, With)
    assert made.options == Options()


def test_what_is_wrong_with_a_class_is_said_before_it_is_made(registry: Registry) -> None:
    class Misspelt(Sink):
        def __init__(self, options: Options) -> None:
            raise AssertionError("made")

        def flsh(self) -> None: ...

    registry.register_backplane("misspelt", Misspelt)
    with pytest.raises(HookError, match="did you mean 'flush'"):
        registry.load_backplane("misspelt")


def test_something_that_is_no_plugin_is_refused(registry: Registry) -> None:
    registry.register_backplane("number", 5)
    with pytest.raises(HookError, match="can take no records"):
        registry.load_backplane("number")

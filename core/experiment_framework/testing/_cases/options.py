"""Options are declared, checked, explained, and kept secret where they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import pytest

from experiment_framework._config import options_schema
from experiment_framework._config.fields import OptionField, option_fields
from experiment_framework._registry.api_version import check_api_version
from experiment_framework.errors import ConfigError
from experiment_framework.testing._cases.harness import Harness

__all__ = ["OptionsCases"]

_CANARY: Final = "canary-that-nobody-may-see"
_Path: TypeAlias = tuple[str, ...]


class OptionsCases:
    """Everything here is offline."""

    def test_the_given_options_are_valid(self, harness: Harness) -> None:
        config = harness.load()
        assert isinstance(config.backplane_options, harness.plugin.options_class)

    def test_it_was_written_for_the_plugin_api_that_is_here(self, harness: Harness) -> None:
        check_api_version(harness.under_test.plugin, "backplane", "under-test")

    def test_an_unknown_option_is_a_problem_that_names_it(self, harness: Harness) -> None:
        with pytest.raises(ConfigError, match="optionThatIsNotThere"):
            harness.load({"optionThatIsNotThere": 1})

    def test_an_option_of_the_wrong_type_is_a_problem_that_names_it(self, harness: Harness) -> None:
        fields = [each for each in _fields(harness) if each.type is not Any]
        if not fields:
            pytest.skip("it has no options")
        for field in fields:
            with pytest.raises(ConfigError, match=field.key):
                harness.load({field.key: [[["of no type that an option has"]]]})

    def test_a_required_option_that_is_missing_is_a_problem_that_names_it(
        self, harness: Harness
    ) -> None:
        required = [each for each in _fields(harness) if each.is_required]
        if not required:
            pytest.skip("it has no required options")
        for field in required:
            with pytest.raises(ConfigError, match=field.key):
                harness.load(without=field.key)

    def test_every_option_says_in_a_sentence_what_it_is_for(self, harness: Harness) -> None:
        silent = [each.key for each in _fields(harness) if not each.metadata.help.strip()]
        assert not silent, f"without help, nobody knows what these are for: {silent}"

    def test_editors_are_told_of_every_option(self, harness: Harness) -> None:
        described = options_schema(harness.plugin.options_class).get("properties", {})
        assert {each.key for each in _fields(harness)} <= set(described)

    def test_to_check_a_configuration_starts_no_thread(self, harness: Harness) -> None:
        before = set(threading.enumerate())
        harness.load()
        started = [each.name for each in threading.enumerate() if each not in before]
        assert not started, f"the constructor or `check` started threads: {started}"

    def test_to_check_a_configuration_does_not_wait_for_a_sink_that_is_away(
        self, harness: Harness, outage: None
    ) -> None:
        harness.take_away()
        with suppress(ConfigError):  # such as a folder that is not there
            harness.within(1.0, "the check of a configuration", harness.load)

    def test_a_secret_is_shown_nowhere(self, harness: Harness) -> None:
        secrets = list(_secrets(harness.plugin.options_class))
        if not secrets:
            pytest.skip("it declares no option as secret")
        for path in secrets:
            written = _written(harness, path) or _CANARY
            try:
                config = harness.load(_with(harness.under_test.options, path, written))
            except ConfigError as error:  # other options are missing, or it may not be so
                shown = [str(error)]
            else:
                settings = config.backplane.create(config.backplane_options).client_settings
                shown = [
                    repr(config),
                    repr(config.values),
                    repr(dict(settings(config.backplane_options, 1000, 1_000_000))),
                ]
            _expect_hidden(path, written, shown)

    def test_health_shows_no_secret(self, harness: Harness) -> None:
        secrets = {
            path: written
            for path in _secrets(harness.plugin.options_class)
            if (written := _written(harness, path))
        }
        if not secrets:
            pytest.skip("the given options have no secret that is declared as one")
        plane = harness.plane()
        harness.deliver(plane, [harness.event()])
        for path, secret in secrets.items():
            _expect_hidden(path, secret, [repr(plane.health())])


def _fields(harness: Harness) -> tuple[OptionField, ...]:
    return option_fields(harness.plugin.options_class)


def _secrets(options_class: type[Any], outer: _Path = ()) -> Iterator[_Path]:
    """Find the options that are secret, in blocks too."""
    for field in option_fields(options_class):
        if field.metadata.secret:
            yield (*outer, field.key)
        elif field.nested is not None:
            yield from _secrets(field.nested, (*outer, field.key))


def _written(harness: Harness, path: _Path) -> str | None:
    """Give a secret as the author of the backplane gave it."""
    found: Any = harness.under_test.options
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else None


def _with(options: Mapping[str, Any], path: _Path, value: str) -> dict[str, Any]:
    key, *rest = path
    if not rest:
        return {**options, key: value}
    inner = options.get(key)
    block = inner if isinstance(inner, Mapping) else {}
    return {**options, key: _with(block, tuple(rest), value)}


def _expect_hidden(path: _Path, secret: str, shown: list[str]) -> None:
    for text in shown:
        at = text.find(secret)
        key = ".".join(path)
        assert at < 0, f"the secret of `{key}` is shown: …{text[max(0, at - 60) : at]}<here>…"

"""A loaded backplane: its options class, its check, and what it does wrong in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import pytest
from experiment_framework._registry import BackplanePlugin
from experiment_framework.errors import BrokenPluginError, ConfigError, HookError
from experiment_framework.plugin import Backplane, Problem, Record, hookimpl, option, options

T = TypeVar("T")


@options
class Options:
    place: str = option(default="here", help="Where.")


@options
class OtherOptions:
    place: str = option(default="there", help="Where.")


class Sink(Backplane[Options]):
    def write_batch(self, records: Sequence[Record]) -> None: ...


def plugin(target: Any) -> BackplanePlugin:
    return BackplanePlugin.of(target, name="mine", distribution="my-dist", version="1")


class TestTheOptionsClass:
    def test_is_the_type_argument(self) -> None:
        assert plugin(Sink).options_class is Options

    def test_is_found_along_the_ancestors(self) -> None:
        class Family(Backplane[T], Generic[T]):
            def write_batch(self, records: Sequence[Record]) -> None: ...

        class Child(Family[OtherOptions]):
            pass

        class Grandchild(Child):
            pass

        assert plugin(Grandchild).options_class is OtherOptions

    def test_is_not_that_of_another_generic_base(self) -> None:
        class Mixed(Sink, AbstractContextManager[int]):
            def __exit__(self, *_: object) -> None: ...

        assert plugin(Mixed).options_class is Options

    def test_can_be_replaced_by_a_subclass(self) -> None:
        class Renamed(Sink):
            options_class = OtherOptions

        class Child(Renamed):
            pass

        assert plugin(Child).options_class is OtherOptions

    def test_can_be_given_by_the_configuration_hook(self) -> None:
        class Plain:
            @hookimpl
            def configuration(self) -> type[Options]:
                return Options

            @hookimpl
            def write_batch(self, records: Sequence[Record]) -> None: ...

        assert plugin(Plain).options_class is Options
        assert plugin(Plain()).options_class is Options

    def test_has_no_options_where_nobody_names_one(self) -> None:
        class Bare(Backplane):  # type: ignore[type-arg]
            def write_batch(self, records: Sequence[Record]) -> None: ...

        found = plugin(Bare)
        assert found.create(found.options_class()).uses_batches

    def test_has_to_be_known_before_there_are_options(self) -> None:
        class Late(Backplane):  # type: ignore[type-arg]
            def configuration(self) -> type[Options]:
                return Options

            def write_batch(self, records: Sequence[Record]) -> None: ...

        with pytest.raises(HookError, match="has to be a class method"):
            plugin(Late)

    def test_has_to_be_made_with_options(self) -> None:
        class Wrong(Backplane[dict]):  # type: ignore[type-arg]
            def write_batch(self, records: Sequence[Record]) -> None: ...

        with pytest.raises(HookError, match="made with @options"):
            plugin(Wrong)

    def test_has_to_be_a_class(self) -> None:
        class Wrong(Backplane):  # type: ignore[type-arg]
            @classmethod
            def configuration(cls) -> Options:
                return Options()

            def write_batch(self, records: Sequence[Record]) -> None: ...

        with pytest.raises(HookError, match="made with @options"):
            plugin(Wrong)


class TestCheck:
    def test_gives_the_plugins_problems(self) -> None:
        class Checking(Sink):
            def check(self, options: Options) -> Iterator[Problem]:
                yield Problem(message=f"not {options.place}", path=("place",))

        assert [str(problem) for problem in plugin(Checking).check(Options())] == [
            "place: not here"
        ]

    def test_that_raises_is_a_broken_plugin(self) -> None:
        class Raising(Sink):
            def check(self, options: Options) -> Iterator[Problem]:
                yield Problem(message="first")
                raise SystemExit(4)

        with pytest.raises(BrokenPluginError, match=r"SystemExit \(4\) when it checked") as caught:
            plugin(Raising).check(Options())
        assert caught.value.distribution == "my-dist"

    def test_that_gives_something_else_than_problems_is_a_fault(self) -> None:
        class Wrong(Sink):
            def check(self, options: Options) -> Any:
                return ["not a problem"]

        with pytest.raises(HookError, match="which is no Problem"):
            plugin(Wrong).check(Options())

    def test_that_gives_a_path_as_text_is_shown_how_to_write_it(self) -> None:
        class Wrong(Sink):
            def check(self, options: Options) -> Any:
                return [Problem(message="far away", path="place")]  # type: ignore[arg-type]  # what is tested

        with pytest.raises(HookError, match=r"such as \('place',\)"):
            plugin(Wrong).check(Options())


class TestMakingIt:
    def test_contains_what_the_constructor_raises(self) -> None:
        class Raising(Sink):
            def __init__(self, options: Options) -> None:
                raise SystemExit("no")

        with pytest.raises(BrokenPluginError, match="when it was made"):
            plugin(Raising).create(Options())

    def test_lets_our_own_errors_pass(self) -> None:
        class Refusing(Sink):
            def __init__(self, options: Options) -> None:
                raise ConfigError([Problem(message="no")])

        with pytest.raises(ConfigError):
            plugin(Refusing).create(Options())

    def test_lets_the_keyboard_interrupt(self) -> None:
        class Interrupted(Sink):
            def __init__(self, options: Options) -> None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            plugin(Interrupted).create(Options())

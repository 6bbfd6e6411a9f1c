"""Options that are made in code are checked like those of a file."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import pytest
from experiment_framework._config import convert_options, load
from experiment_framework._registry import Registry
from experiment_framework.dataplane_options import DataPlaneOptions
from experiment_framework.errors import ConfigError, HookError
from experiment_framework.plugin import Backplane, Record, option, options
from msgspec import Meta


@options
class Inner:
    key: str | None = option(default=None, secret=True, help="A secret.")


@options
class Outer:
    acks: Literal["all", "1"] = option(default="all", help="A choice.")
    hosts: list[str] = option(factory=list, separator=",", help="Hosts.")
    max_size: Annotated[int, Meta(ge=1)] = option(default=1, help="A bounded integer.")
    token: str | None = option(default=None, secret=True, help="A secret.")
    folder: Path = option(default=Path(), help="A path.")
    inner: Inner | None = option(default=None, help="A block.")
    extra: dict[str, str] = option(factory=dict, help="More.")


@options
class Derived(Outer):
    more: int = option(default=0, help="One more.")


def test_a_wrong_value_is_refused_with_its_path() -> None:
    with pytest.raises(ConfigError) as caught:
        Outer(acks="7")  # type: ignore[arg-type]  # what is tested
    (problem,) = caught.value.problems
    assert problem.path == ("acks",)
    assert problem.expected == "one of all, 1"
    assert str(caught.value).startswith("Outer cannot be made:\n  acks: not one of the choices")


def test_every_wrong_value_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Outer(acks="7", max_size=0, hosts=[1, None], extra={"a": []})  # type: ignore[arg-type,list-item,dict-item]  # what is tested
    paths = [problem.path for problem in caught.value.problems]
    assert paths == [("acks",), ("hosts", 1), ("max_size",), ("extra", "a")]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("12", 'the string "12"'),
        (12.7, "the number 12.7"),
        (True, "true (a boolean)"),
        (None, "null"),
    ],
)
def test_nothing_is_turned_into_a_number(value: Any, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Outer(max_size=value)
    assert caught.value.problems[0].found == found


def test_values_take_their_declared_types() -> None:
    made = Outer(acks=1, hosts="a, b", folder="x/y")  # type: ignore[arg-type]  # as a file may say it
    assert (made.acks, made.hosts, made.folder) == ("1", ["a", "b"], Path("x/y"))


def test_a_reference_to_the_environment_is_for_files_only() -> None:
    assert Outer(token="${HOME}").token == "${HOME}"


def test_nested_options_are_kept_as_they_are() -> None:
    inner = Inner(key="k")
    assert Outer(inner=inner).inner is inner


def test_something_else_in_place_of_nested_options_is_refused() -> None:
    with pytest.raises(ConfigError):
        Outer(inner=object())  # type: ignore[arg-type]  # what is tested


def test_a_subclass_checks_what_it_inherits_too() -> None:
    with pytest.raises(ConfigError) as caught:
        Derived(acks="7", more=1.5)  # type: ignore[arg-type]  # what is tested
    assert {problem.path for problem in caught.value.problems} == {("acks",), ("more",)}


def test_a_changed_copy_is_checked() -> None:
    with pytest.raises(ConfigError):
        attrs.evolve(DataPlaneOptions(), batch_size=0)


def test_options_are_immutable_and_survive_copying() -> None:
    made = Outer(hosts=["a"], inner=Inner(key="k"))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.acks = "1"  # type: ignore[misc]  # what is tested
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301  # our own bytes


def test_a_secret_is_in_no_repr_and_in_no_error() -> None:
    made = Outer(token="canary", inner=Inner(key="canary"), extra={"db.password": "canary"})
    assert "canary" not in repr(made)
    assert "token='***'" in repr(made)
    with pytest.raises(ConfigError) as caught:
        Outer(token=["canary"], extra={"password": {"canary": 1}})  # type: ignore[arg-type,dict-item]  # what is tested
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value.problems)


def test_a_mapping_is_converted_by_the_keys_of_yaml() -> None:
    assert convert_options(Outer, {"maxSize": 5}).max_size == 5
    with pytest.raises(ConfigError) as caught:
        convert_options(Outer, {"max_size": 5, "tokn": "canary"})
    assert [problem.suggestion for problem in caught.value.problems] == [
        "Did you mean `maxSize`?",
        "Did you mean `token`?",
    ]
    assert "canary" not in str(caught.value)


@options
class Unsupported:
    value: set[int] = option(factory=set, help="A type that options do not have.")


@options
class Unresolved:
    value: Nowhere = option(default=None, help="A type that is not there.")  # type: ignore[name-defined]  # noqa: F821  # what is tested


@pytest.mark.parametrize("options_class", [Unsupported, Unresolved])
def test_a_type_that_options_cannot_have_is_the_authors_mistake(options_class: type[Any]) -> None:
    with pytest.raises(HookError, match=r"value|Nowhere"):
        options_class(value=1)


def test_an_option_without_a_type_is_named() -> None:
    @options
    class Untyped:
        place = option(help="Where.")

    with pytest.raises(HookError, match=r"Untyped\.place has no type"):
        Untyped(place="here")


def test_a_plugin_with_an_option_without_a_type_is_a_problem_of_the_configuration() -> None:
    @options
    class Untyped:
        place = option(help="Where.")

    class Sink(Backplane[Untyped]):
        def write_batch(self, records: Sequence[Record]) -> None: ...

    registry = Registry(environ={})
    registry.register_backplane("untyped", Sink)
    text = "experimentFramework: {dataPlane: {backplane: {type: untyped, options: {place: x}}}}"
    with pytest.raises(ConfigError, match=r"Untyped\.place has no type"):
        load(text, registry=registry)

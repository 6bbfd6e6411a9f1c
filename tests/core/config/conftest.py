from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import pytest
from experiment_framework._config import Config, load
from experiment_framework._registry import Registry
from experiment_framework.errors import ConfigError
from experiment_framework.plugin import (
    Backplane,
    Envelope,
    Phase,
    Problem,
    Record,
    Step,
    option,
    options,
)
from msgspec import Meta

Setting = str | int | bool | float


@options
class Login:
    user: str | None = option(default=None, help="Who logs in.")
    password: str | None = option(default=None, secret=True, help="What is kept to oneself.")
    password_file: str | None = option(default=None, help="Where the password is.")


@options
class Retention:
    days: Annotated[int, Meta(ge=1, le=365)] = option(default=7, help="Days.")


@options
class SinkOptions:
    """Options of every shape that options may have."""

    url: str = option(help="Where it is.")
    hosts: Annotated[list[str], Meta(min_length=1)] = option(
        factory=lambda: ["localhost:1"], separator=",", help="Hosts."
    )
    name: str | None = option(default=None, help="A name.")
    size: Annotated[int, Meta(ge=1, le=100)] = option(default=10, help="A bounded integer.")
    limit: Annotated[int, Meta(ge=0)] | None = option(default=None, help="An optional integer.")
    ratio: Annotated[float, Meta(ge=0, le=1)] = option(default=0.5, help="A bounded number.")
    enabled: bool = option(default=True, help="A switch.")
    acks: Literal["all", "1", "0"] = option(default="all", help="A choice.")
    code: Annotated[str, Meta(pattern="^[a-z]+$")] = option(default="abc", help="A pattern.")
    folder: Path = option(default=Path("here"), help="A path.")
    extra: dict[str, Setting] = option(factory=dict, help="Undeclared settings.")
    topics: dict[Literal["exposure", "outcome"], str] = option(factory=dict, help="Topics.")
    login: Login = option(factory=Login, help="Log-in.")
    retention: Retention | bool = option(default=False, help="Retention, or none.")


class Sink(Backplane[SinkOptions]):
    """Takes records nowhere; its options are what is tested."""

    def check(self, options: SinkOptions) -> Iterable[Problem]:
        if options.acks != "all" and options.enabled:
            yield Problem(
                message=f"acks: {options.acks} contradicts enabled",
                path=("acks",),
                involves=(("acks",), ("enabled",)),
                suggestion="Add `enabled: false`.",
            )

    def write_batch(self, records: Sequence[Record]) -> None:
        raise AssertionError(records)


@options
class StepOptions:
    rate: Annotated[float, Meta(ge=0, le=1)] = option(default=1.0, help="A rate.")
    rate_salt: str = option(default="", help="A salt.")


class RateStep(Step[StepOptions]):
    phase = Phase.DECIDE

    def apply(self, envelope: Envelope) -> Envelope:
        return envelope


class Load(Protocol):
    def __call__(
        self, source: str | Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> Config: ...


@pytest.fixture
def registry() -> Registry:
    """A registry with a backplane `sink` and a step for `rate` and `rateSalt` besides the rest."""
    made = Registry()
    made.register_backplane("sink", Sink)
    made.register_step("rate", RateStep)
    made.register_step("rateSalt", RateStep)
    return made


@pytest.fixture
def load_config(registry: Registry) -> Load:
    """Load a configuration; the environment is empty where none is given."""

    def loaded(source: str | Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
        return load(source, registry=registry, environ=environ or {})

    return loaded


@pytest.fixture
def sink_options(load_config: Load) -> Callable[..., SinkOptions]:
    """Load lines of options of the sink, and give the options."""

    def loaded(lines: str, environ: Mapping[str, str] | None = None) -> SinkOptions:
        options_ = load_config(_whole(lines), environ).backplane_options
        assert isinstance(options_, SinkOptions)
        return options_

    return loaded


@pytest.fixture
def sink_error(load_config: Load) -> Callable[..., ConfigError]:
    """Load lines of options of the sink, and give the error."""

    def failed(lines: str, environ: Mapping[str, str] | None = None) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load_config(_whole(lines), environ)
        return caught.value

    return failed


@pytest.fixture
def sink_problem(sink_error: Callable[..., ConfigError]) -> Callable[..., Problem]:
    """Load lines of options of the sink, and give the one problem."""

    def failed(lines: str, environ: Mapping[str, str] | None = None) -> Problem:
        (problem,) = sink_error(lines, environ).problems
        return problem

    return failed


@pytest.fixture
def error_of(load_config: Load) -> Callable[..., ConfigError]:
    """Load a whole configuration, and give the error."""

    def failed(
        source: str | Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load_config(source, environ)
        return caught.value

    return failed


def _whole(lines: str) -> str:
    indented = "".join(f"        {line}\n" for line in lines.strip("\n").split("\n"))
    url = "" if "url:" in lines else "        url: here\n"
    return (
        "experimentFramework:\n"
        "  dataPlane:\n"
        "    backplane:\n"
        "      type: sink\n"
        "      options:\n" + url + indented
    )

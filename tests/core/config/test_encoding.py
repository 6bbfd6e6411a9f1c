from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jsonschema
import pytest
from experiment_framework import ConfigError
from experiment_framework._config import load, schema
from experiment_framework._registry import Registry
from experiment_framework.plugin import (
    Backplane,
    Encoded,
    Encoder,
    Problem,
    Record,
    option,
    options,
)


@options
class ReversedOptions:
    times: int = option(default=1, help="How often.")
    key: str | None = option(default=None, secret=True, help="A secret.")


class Reversed(Encoder[ReversedOptions]):
    def check(self) -> Iterable[Problem]:
        if self.options.times == 13:
            yield Problem(message="13 brings bad luck", path=("times",))

    def encode(self, record: Record, destination: str) -> Encoded:
        return Encoded(record.body[::-1])

    def decode(self, body: bytes) -> bytes:
        return body[::-1]


class Exploding(Reversed):
    def __init__(self, options: ReversedOptions) -> None:
        raise SystemError("boom")


@options
class Nothing:
    """No options."""


class Plain(Backplane[Nothing]):
    def publish(self, record: Record) -> None: ...


class Wire(Plain):
    def encode_with(self, encoder: Encoder[Any]) -> None: ...


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry()
    registry.register_backplane("plain", Plain)
    registry.register_backplane("wire", Wire)
    registry.register_encoder("reversed", Reversed)
    registry.register_encoder("exploding", Exploding)
    return registry


def written(encoding: object, backplane: str = "wire") -> dict[str, Any]:
    data_plane = {"encoding": encoding, "backplane": {"type": backplane}}
    return {"experimentFramework": {"dataPlane": data_plane}}


def problem(registry: Registry, encoding: object, backplane: str = "wire") -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(encoding, backplane), registry=registry)
    (only,) = caught.value.problems
    return str(only)


@pytest.mark.parametrize("encoding", ["json", {"type": "json"}])
def test_json_needs_no_encoder(encoding: object, registry: Registry) -> None:
    assert load(written(encoding, "plain"), registry=registry).encoder is None


def test_nothing_written_is_json(registry: Registry) -> None:
    source = written("json")
    del source["experimentFramework"]["dataPlane"]["encoding"]
    config = load(source, registry=registry)
    assert config.encoder is None
    values = {value.path: value.value for value in config.values}
    assert values["dataPlane", "encoding"] == "json"


@pytest.mark.parametrize("encoding", ["reversed", {"type": "reversed"}])
def test_a_name_is_enough(encoding: object, registry: Registry) -> None:
    encoder = load(written(encoding), registry=registry).encoder
    assert isinstance(encoder, Reversed)
    assert encoder.options.times == 1


def test_options_stand_beside_the_type_and_secrets_are_masked(registry: Registry) -> None:
    config = load(written({"type": "reversed", "times": 3, "key": "canary"}), registry=registry)
    assert config.encoder is not None
    assert (config.encoder.options.times, config.encoder.options.key) == (3, "canary")
    values = {value.path[1:]: value.value for value in config.values}
    assert values["encoding", "type"] == "reversed"
    assert values["encoding", "times"] == 3
    assert "canary" not in str(config.values)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("reversd", "no encoder is called 'reversd'; there are json, exploding, reversed"),
        ({"type": "reversed", "tims": 1}, "Did you mean `times`?"),
        ({"type": "reversed", "times": "many"}, "dataPlane.encoding.times"),
        ({"type": "reversed", "times": 13}, "13 brings bad luck"),
        ({"times": 1}, "a required key is missing"),
        ({"type": "json", "times": 1}, "json has no options"),
        ({"type": "exploding"}, "SystemError: boom"),
        (["reversed"], "dataPlane.encoding"),
    ],
)
def test_a_problem_says_where_and_what(encoding: object, expected: str, registry: Registry) -> None:
    assert expected in problem(registry, encoding)


def test_a_backplane_that_writes_json_only_is_named(registry: Registry) -> None:
    found = problem(registry, "reversed", "plain")
    assert "dataPlane.encoding: plain writes JSON only" in found


def test_the_schema_that_editors_use_knows_encoders(registry: Registry) -> None:
    validator = jsonschema.Draft202012Validator(schema(registry))
    for right in ("json", "reversed", "${ENCODING}", {"type": "reversed", "times": 2}):
        validator.validate(written(right))
    for wrong in ("reversd", {"type": "reversed", "tims": 2}, {"times": 2}, 7):
        assert not validator.is_valid(written(wrong))

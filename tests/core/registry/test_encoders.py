from __future__ import annotations

from typing import Any

import pytest
from experiment_framework._registry import Registry
from experiment_framework.errors import DuplicatePluginError, HookError, UnknownPluginError
from experiment_framework.plugin import Encoded, Encoder, Record, option, options
from sample_distributions import Sample, SampleSite

ENCODER = """
from experiment_framework.plugin import Encoded, Encoder, option, options

@options
class Options:
    mark: str = option(default="#", help="What goes before.")

class Marked(Encoder[Options]):
    def encode(self, record, destination):
        return Encoded(self.options.mark.encode() + record.body)

    def decode(self, body):
        return body[len(self.options.mark):]
"""

LOADED = """
import json
from experiment_framework._registry import default_registry
registry = default_registry()
found = registry.load_encoder("marked")
print(json.dumps([list(registry.encoder_names()), found.__name__]))
"""

INSPECTED = """
import json
from experiment_framework._registry.inspection import inspect_all
print(json.dumps({report.name: [report.kind, report.status] for report in inspect_all()}))
"""


@options
class Options:
    mark: str = option(default="#", help="What goes before.")


class Marked(Encoder[Options]):
    def encode(self, record: Record, destination: str) -> Encoded:
        return Encoded(record.body)

    def decode(self, body: bytes) -> bytes:
        return body


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    samples = [
        Sample("acme-encoder", ENCODER, {"experiment_framework.encoders": {"marked": "Marked"}}),
        Sample("evil-encoder", "1 / 0", {"experiment_framework.encoders": {"evil": "Evil"}}),
    ]
    return SampleSite(samples, tmp_path_factory.mktemp("encoders"))


def test_an_installed_encoder_is_found_and_the_others_are_not_loaded(site: SampleSite) -> None:
    names, loaded = site.ask(LOADED, "acme-encoder", "evil-encoder")
    assert {"marked", "evil"} <= set(names)
    assert loaded == "Marked"


def test_encoders_are_listed_with_how_they_are_doing(site: SampleSite) -> None:
    found = site.ask(INSPECTED, "acme-encoder", "evil-encoder")
    assert found["marked"] == ["encoder", "loaded"]
    assert found["evil"] == ["encoder", "broken"]


def test_what_is_registered_in_code_is_found() -> None:
    registry = Registry()
    registry.register_encoder("marked", Marked)
    assert registry.load_encoder("marked") is Marked
    with pytest.raises(DuplicatePluginError):
        registry.register_encoder("marked", type("Other", (Marked,), {}))


def test_an_unknown_name_names_those_that_there_are() -> None:
    registry = Registry()
    registry.register_encoder("marked", Marked)
    with pytest.raises(UnknownPluginError, match=r"json, marked.*Did you mean 'marked'"):
        registry.load_encoder("markd")


class Misspelt(Marked):
    def decod(self, body: bytes) -> bytes:
        return body


class Half(Encoder[Options]):
    def encode(self, record: Record, destination: str) -> Encoded:
        return Encoded(record.body)


class Async(Marked):
    async def encode(self, record: Record, destination: str) -> Encoded:  # type: ignore[override]  # on purpose
        return Encoded(record.body)


@options
class TypeOptions:
    type: str = option(default="", help="Taken already.")


class Taken(Marked, Encoder[TypeOptions]):
    """An option with the name of the key that selects the encoder."""


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        (Misspelt, "did you mean 'decode'"),
        (Half, "it has no method 'decode'"),
        (Async, "async function"),
        (Taken, "have the key 'type'"),
        (object, "no subclass"),
    ],
)
def test_what_is_wrong_with_an_encoder_is_said(plugin: Any, expected: str) -> None:
    registry = Registry()
    registry.register_encoder("bad", plugin)
    with pytest.raises(HookError, match=expected):
        registry.load_encoder("bad")

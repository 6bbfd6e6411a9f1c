"""JSON Schemas of the wire format: one for each event type and version, of the whole envelope.

They are made from the event classes and shipped as files, so that other languages and tools can use
them without Python. ``python -m experiment_framework.schemas`` writes them; a version that was
released is never written differently again.
"""

from __future__ import annotations

import argparse
import re
from importlib.resources import files
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import msgspec

from experiment_framework.envelope import SCHEMA_VERSION, Envelope, Head
from experiment_framework.events import EVENT_TYPES

__all__ = ["event_schema", "file_name", "generate"]

_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"
_METADATA: Final[dict[str, Any]] = {
    "samplingRate": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "The share of subjects that is published; absent where that is all of them. "
        "A count is weighted back by dividing by it.",
    },
    "nonFinite": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Where NaN or an infinity was given: paths of members that are null now.",
    },
}


def event_schema(event_type: str, version: str = SCHEMA_VERSION) -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of an envelope with an event of one type.

    Args:
        event_type: Its wire name, such as ``Exposure`` or ``Error``.
        version: A version of the wire format, such as ``1.0.0``.

    Raises:
        LookupError: There is no such schema; the message names those that there are.
    """
    wanted = file_name(event_type, version)
    shipped = {path.name: path for path in files(__package__).joinpath("schemas").iterdir()}
    if wanted not in shipped:
        raise LookupError(f"no schema {wanted}; there are {', '.join(sorted(shipped))}")
    schema: dict[str, Any] = msgspec.json.decode(shipped[wanted].read_bytes())
    return schema


def file_name(event_type: str, version: str = SCHEMA_VERSION) -> str:
    """Give the name of a schema's file, such as ``analysis-signal-1.0.0.json``."""
    return f"{_kebab(event_type)}-{version}.json"


def generate(event_type: str) -> dict[str, Any]:
    """Make the schema of the current version from the event's class.

    The writer's side of the contract: what is always written is required. Members that are not
    known are allowed, as a newer minor version adds some.
    """
    event_class = EVENT_TYPES[event_type]
    about_event = _object_schema(event_class, described_by=event_class)
    members = _object_schema(Head, described_by=Envelope)["properties"]
    members["eventType"]["const"] = event_type
    members["correlationId"]["type"] = ["string", "null"]
    members["metadata"] |= {"properties": _METADATA, "additionalProperties": True}
    members["payload"] = about_event | {"description": _descriptions(Envelope)["payload"]}
    order = [name for name in Envelope.__struct_encode_fields__ if name in members]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:experiment-framework:schema:{_kebab(event_type)}:{SCHEMA_VERSION}",
        "title": f"{event_type} event, version {SCHEMA_VERSION} of the wire format",
        "description": about_event["description"],
        "type": "object",
        "properties": {name: members[name] for name in order},
        "required": order,
        "additionalProperties": True,
    }


def write(folder: Path) -> list[Path]:
    """Write the schemas of the current version into a folder and give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for event_type in EVENT_TYPES:
        path = folder / file_name(event_type)
        text = msgspec.json.format(msgspec.json.encode(generate(event_type)), indent=2)
        path.write_bytes(text + b"\n")
        paths.append(path)
    return paths


def _object_schema(
    cls: type[msgspec.Struct], *, described_by: type[msgspec.Struct]
) -> dict[str, Any]:
    """Give the schema of a Struct, without references, and with the descriptions of a docstring."""
    _, components = msgspec.json.schema_components([cls], ref_template="{name}")
    descriptions = _descriptions(described_by)
    properties = {}
    required = []
    for name, member in components[cls.__name__]["properties"].items():
        if name == "$extra":
            continue
        schema = {"description": descriptions[name], **_simplified(member)}
        if {"type": "null"} not in member.get("anyOf", ()):
            required.append(name)
        properties[name] = schema
    return {
        "description": descriptions[""],
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": True,
    }


def _simplified(member: dict[str, Any]) -> dict[str, Any]:
    schema = {key: value for key, value in member.items() if key not in {"default", "anyOf"}}
    kinds = [kind for kind in member.get("anyOf", ()) if kind != {"type": "null"}]
    if kinds == [{"type": "integer"}, {"type": "number"}]:
        kinds = [{"type": "number"}]
    for kind in kinds:
        schema |= kind
    if schema.get("format") == "date-time":
        schema["pattern"] = _TIME
    return schema


def _descriptions(cls: type[msgspec.Struct]) -> dict[str, str]:
    """Read what the docstrings of a class and its bases say of each field, by wire name.

    The first sentence is about the wire, what follows about Python. The summary of the class itself
    stands under the empty name.
    """
    wire_names = dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))
    descriptions = {}
    for described in reversed(cls.__mro__):
        if not issubclass(described, msgspec.Struct) or described is msgspec.Struct:
            continue
        text = cleandoc(described.__doc__ or "").replace("``", "`")
        descriptions[""] = text.partition("\n")[0]
        _, _, attributes = text.partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w)", "\n" + attributes.partition("\n\n")[0])[1:]:
            name, _, description = entry.partition(":")
            sentence, _, _ = " ".join(description.split()).partition(". ")
            descriptions[wire_names[name.strip()]] = sentence.removesuffix(".") + "."
    return descriptions


def _kebab(event_type: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", event_type).lower()


def _main() -> None:
    parser = argparse.ArgumentParser(description="Write the JSON Schemas of the events.")
    shipped = Path(__file__).with_name("schemas")
    parser.add_argument("folder", type=Path, nargs="?", default=shipped, help="where to")
    write(parser.parse_args().folder)


if __name__ == "__main__":
    _main()

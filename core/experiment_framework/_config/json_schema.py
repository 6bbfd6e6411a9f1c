"""JSON Schema (draft 2020-12) of configurations, for editors and for whoever reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeAlias, get_args

import attrs
import msgspec

from experiment_framework._config.annotations import (
    arms,
    bare,
    bounds,
    is_list,
    is_literal,
    is_mapping,
    is_options,
    is_union,
    item_type,
)
from experiment_framework._config.backplane_list import COMPOSITE
from experiment_framework._config.choosing import is_choice
from experiment_framework._config.effective import plain
from experiment_framework._config.fields import OptionField, option_fields
from experiment_framework._registry import Registry
from experiment_framework.dataplane_options import DataPlaneOptions

__all__ = ["Described", "Schema", "options_schema", "schema"]

Schema: TypeAlias = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# What a person may write in place of a number or a truth value.
_INTERPOLATED: Final[Schema] = {"type": "string", "pattern": r"\$\{"}
# A field that takes text takes every scalar as it was written, `0500` and `true` too.
_TEXT: Final[Schema] = {"type": ["string", "number", "boolean"]}
# Where a whole configuration says which options go with which type of backplane.
_CHOICE: Final = "backplane"
_EXTENSIONS: Final[Schema] = {"^x-": {}, "^<<$": {}}


class Described(Protocol):
    """A plugin and the schema of its options, as ``experiment plugins`` reports it."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def options_schema(self) -> Schema | None: ...


def options_schema(options_class: type[Any]) -> Schema:
    """Describe one options class: keys in camelCase, descriptions, defaults and bounds."""
    fields = option_fields(options_class)
    described = _block({field.key: _field(field) for field in fields})
    if required := [field.key for field in fields if field.is_required]:
        described["required"] = required
    if options_class.__doc__:
        described["description"] = options_class.__doc__.strip().splitlines()[0]
    if is_choice(options_class):
        described["properties"]["options"]["type"] = ["object", "null"]
        described["allOf"] = [{"$ref": f"#/$defs/{_CHOICE}"}]
    return described


def schema(registry: Registry, plugin_schemas: Iterable[Described] | None = None) -> Schema:
    """Describe a whole configuration.

    Args:
        registry: Whose backplanes and steps there are.
        plugin_schemas: Schemas that are known already, such as those of
            ``inspect_all(registry)``; by default every plugin is loaded here.

    Raises:
        PluginError: A plugin cannot be loaded, where no schemas are given.
    """
    if plugin_schemas is None:
        backplanes: Mapping[str, Schema] = {
            name: options_schema(registry.load_backplane(name).options_class)
            for name in registry.backplane_names()
        }
        steps = {
            key: options_schema(registry.load_step(key).options_class)
            for key in registry.step_keys()
        }
        encoders = {
            name: options_schema(registry.load_encoder(name).options_class)
            for name in registry.encoder_names()
        }
    else:
        known = [each for each in plugin_schemas if each.options_schema is not None]
        backplanes = {e.name: e.options_schema or {} for e in known if e.kind == "backplane"}
        steps = {e.name: e.options_schema or {} for e in known if e.kind == "step"}
        encoders = {e.name: e.options_schema or {} for e in known if e.kind == "encoder"}
    return _whole(backplanes, steps, encoders)


def _whole(
    backplanes: Mapping[str, Schema], steps: Mapping[str, Schema], encoders: Mapping[str, Schema]
) -> Schema:
    data_plane = options_schema(DataPlaneOptions)
    for key, described in sorted(steps.items()):
        data_plane["properties"][key] = described.get("properties", {}).get(key, {})
    data_plane["properties"]["encoding"] = _encoding(encoders)
    data_plane["properties"]["backplane"] = _backplane()
    data_plane["required"] = ["backplane"]
    if COMPOSITE in backplanes:
        data_plane["properties"]["backplanes"] = _list_of_members(backplanes[COMPOSITE])
        del data_plane["required"]
        data_plane["oneOf"] = [{"required": ["backplane"]}, {"required": ["backplanes"]}]
    framework = _block({"dataPlane": data_plane, "settings": {}, "trials": {}})
    framework["required"] = ["dataPlane"]
    whole = _block({"$schema": {"type": "string"}, "experimentFramework": framework})
    return {
        "$schema": _DIALECT,
        "title": "Experiment framework configuration",
        **whole,
        "required": ["experimentFramework"],
        "$defs": {_CHOICE: _choice(backplanes)},
    }


def _encoding(encoders: Mapping[str, Schema]) -> Schema:
    names = ["json", *(name for name in sorted(encoders) if not encoders[name].get("required"))]
    whole = [_with_type("json", _block({}))]
    whole += [_with_type(name, encoders[name]) for name in sorted(encoders)]
    return {
        "description": "How a record becomes the bytes on the wire: a name, or `type` with the "
        "options of that encoder.",
        "default": "json",
        "anyOf": [{"enum": names}, _INTERPOLATED, *whole],
    }


def _with_type(name: str, options: Schema) -> Schema:
    """Describe a block of options that says whose they are."""
    properties = {
        "type": {"const": name},
        "distribution": {
            "description": "Which distribution it comes from, where several offer the type.",
            "type": "string",
        },
        **options["properties"],
    }
    return {**options, "properties": properties, "required": ["type", *options.get("required", ())]}


def _backplane() -> Schema:
    described = _block(
        {
            "type": {"description": "Which backplane takes the records."},
            "distribution": {
                "description": "Which distribution it comes from, where several offer the type.",
                "type": "string",
            },
            "options": {"type": ["object", "null"]},
        }
    )
    described["description"] = "What takes records somewhere durable."
    described["required"] = ["type"]
    described["allOf"] = [{"$ref": f"#/$defs/{_CHOICE}"}]
    return described


def _choice(backplanes: Mapping[str, Schema]) -> Schema:
    """Describe which types there are, and which options go with each."""
    names = sorted(backplanes)
    return {
        "properties": {"type": {"anyOf": [{"enum": names}, _INTERPOLATED]}},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": _with_options(backplanes[name]),
            }
            for name in names
        ],
    }


def _list_of_members(composite: Schema) -> Schema:
    """Describe the list of backplanes that is short for one with these members."""
    member = composite["properties"]["members"]["additionalProperties"]["anyOf"][0]
    name = {"description": "What it is called; by default its type.", "type": "string"}
    properties = {"name": name, **member["properties"]}
    return {
        "description": "Several backplanes that each event goes to, in place of `backplane`.",
        "type": "array",
        "minItems": 1,
        "items": {**member, "properties": properties},
    }


def _with_options(options: Schema) -> Schema:
    if options.get("required"):
        return {"properties": {"options": options}, "required": ["options"]}
    return {"properties": {"options": {"anyOf": [options, {"type": "null"}]}}}


def _block(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "patternProperties": _EXTENSIONS,
        "additionalProperties": False,
    }


def _field(field: OptionField) -> Schema:
    described = _of(field.type)
    if field.metadata.separator is not None:
        described = {"anyOf": [described, {"type": "string"}]}
    if field.metadata.help:
        described["description"] = field.metadata.help
    default = field.default()
    is_block = is_options(type(default))  # whose own options have defaults
    if default not in (attrs.NOTHING, None) and not is_block and not field.metadata.secret:
        described["default"] = plain(default)
    return described


def _of(annotation: Any) -> Schema:
    inner = bare(annotation)
    metas = bounds(annotation)
    if is_union(inner):
        members = [_of(member) for member in arms(inner)]
        if len(arms(inner)) < len(get_args(inner)):
            members.append({"type": "null"})
        return members[0] if len(members) == 1 else {"anyOf": members}
    if is_options(inner):
        return {"anyOf": [options_schema(inner), {"type": "null"}]}
    if is_literal(inner):
        return {"enum": [*_written(inner)]}
    if is_list(inner):
        return {"type": "array", "items": _of(item_type(inner)), **_limits(list, metas)}
    if is_mapping(inner):
        described = {"additionalProperties": _of(item_type(inner)), **_limits(dict, metas)}
        key_type, *_ = (*get_args(inner), Any)
        if is_literal(bare(key_type)):
            described["propertyNames"] = {
                "anyOf": [{"enum": list(get_args(bare(key_type)))}, {"pattern": "^x-"}]
            }
        return {"type": ["object", "null"], **described}
    return _scalar(inner, metas)


def _scalar(kind: Any, metas: tuple[msgspec.Meta, ...]) -> Schema:
    if kind in (str, Path):
        limits = _limits(str, metas)
        return {"anyOf": [_TEXT | limits, dict(_INTERPOLATED)]} if limits else dict(_TEXT)
    if kind in (bool, int, float):
        return {"anyOf": [_leaf(kind, metas), dict(_INTERPOLATED)]}
    return {}


def _limits(kind: Any, metas: tuple[msgspec.Meta, ...]) -> Schema:
    return {key: value for key, value in _leaf(kind, metas).items() if key not in ("type", "items")}


def _leaf(kind: Any, metas: tuple[msgspec.Meta, ...]) -> Schema:
    for meta in metas:
        kind = Annotated[kind, meta]
    return msgspec.json.schema(kind)


def _written(annotation: Any) -> Iterable[Any]:
    """Give the ways to write literals: ``1`` and ``"1"`` choose the same."""
    for choice in get_args(annotation):
        yield choice
        if isinstance(choice, str):
            try:
                other = msgspec.json.decode(choice.encode())
            except msgspec.DecodeError:
                continue
            if isinstance(other, bool | int | float):
                yield other
        elif isinstance(choice, int):
            yield msgspec.json.encode(choice).decode()

"""Which place a configuration names, so that two of them can be compared and one remembered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import attrs

from experiment_framework._config import Config
from experiment_framework._config.fields import option_fields
from experiment_framework._config.secrets import is_secret_name, scrubbed
from experiment_framework._registry.chosen import Chosen, choices_in

__all__ = ["mark_of", "places_of"]


def places_of(config: Config) -> frozenset[str]:
    """Give what tells the place of a backplane from others; several where it has members.

    What is free text says where (addresses, names of topics and tables, paths); numbers, switches
    and choices say how. Passwords say neither, and a changed one leaves the place the same.
    """
    return frozenset(_places(Chosen(config.backplane, config.backplane_options)))


def mark_of(config: Config) -> str:
    """Give the same as one text, in which nothing can be read."""
    return hashlib.sha256("\n".join(sorted(places_of(config))).encode()).hexdigest()


def _places(chosen: Chosen) -> Iterator[str]:
    members = choices_in(chosen.options)
    if not members:
        yield f"{chosen.plugin.name} {sorted(_texts(chosen.options))!r}"
    for member in members.values():
        if isinstance(member.options, Chosen):
            yield from _places(member.options)


def _texts(options: Any, path: str = "") -> Iterator[tuple[str, str]]:
    for field in option_fields(type(options)) if attrs.has(type(options)) else ():
        if not (_is_choice(field.type) or is_secret_name(field.name)):
            yield from _texts_in(getattr(options, field.name), f"{path}/{field.name}")


def _texts_in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str | os.PathLike):
        yield path, _located(os.fspath(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not is_secret_name(str(key)):
                yield from _texts_in(item, f"{path}/{key}")
    elif isinstance(value, list | tuple | frozenset):
        for item in value:
            yield from _texts_in(item, path)
    else:
        yield from _texts(value, path)


def _located(text: str) -> str:
    """Write the path of a file that is there in the one way that all its names come to."""
    path = Path(os.path.expanduser(text))  # noqa: PTH111  # pathlib's raises for an unknown user
    try:
        return str(path.resolve()) if path.exists() else scrubbed(text)
    except (OSError, ValueError):
        return scrubbed(text)


def _is_choice(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        inner = inner[:1]
    return any(_is_choice(each) for each in inner)

"""The short form: ``backplanes``, a list, in place of ``backplane`` with its members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from experiment_framework._config.findings import Finding, Refusal
from experiment_framework._config.nodes import Block, Entry, Items, Node, Scalar, refuse
from experiment_framework._config.scalars import described

__all__ = ["COMPOSITE", "as_composite"]

COMPOSITE: Final = "composite"
"""The type of backplane that the list is a short form of."""


def as_composite(written: Node) -> tuple[Block | None, list[Finding]]:
    """Write a list of backplanes as the one backplane that has them as its members.

    Returns:
        What would stand under ``backplane``, and what is wrong with the list.
    """
    if not isinstance(written, Items) or not written.items:
        return None, _no_list(written)
    findings: list[Finding] = []
    members: dict[str, Block] = {}
    for item in written.items:
        try:
            name, member = _member(item)
            if name in members:
                raise _twice(item, name)
            members[name] = member
        except Refusal as refusal:
            findings += refusal.findings
    place = Block(path=written.path, span=written.span, key_span=written.key_span, entries=())
    listed = _holding(place, members)
    options = _holding(place, {"members": listed})
    kind = Scalar(text=COMPOSITE, plain=False, path=written.path, span=written.key_span)
    return _holding(place, {"type": kind, "options": options}), findings


def _member(item: Node) -> tuple[str, Block]:
    """Give the name of a member, and what is said about it."""
    if not isinstance(item, Block):
        raise refuse(
            item,
            "not a mapping",
            found=described(item),
            expected="a backplane: a mapping with `type`",
        )
    named = item.get("name") or item.get("type")
    if named is None:
        missing = msgspec.structs.replace(item, path=(*item.path, "type"))
        raise refuse(missing, "a required key is missing", expected="`type`: string")
    if not isinstance(named, Scalar) or named.is_null or not named.text:
        raise refuse(named, "not a name", found=described(named), expected="string")
    others = tuple(entry for entry in item.entries if entry.key != "name")
    # What is said of the whole member is said where it begins, not at the key of the list.
    return named.text, msgspec.structs.replace(item, entries=others, key_span=item.entries[0].span)


def _holding(place: Block, entries: Mapping[str, Node]) -> Block:
    return msgspec.structs.replace(
        place, entries=tuple(Entry(key, value, value.span) for key, value in entries.items())
    )


def _twice(item: Node, name: str) -> Refusal:
    named = item.get("name") or item.get("type") if isinstance(item, Block) else None
    return refuse(
        named or item,
        f"two members are called `{name}`",
        suggestion="Give each a `name`.",
    )


def _no_list(written: Node) -> list[Finding]:
    if isinstance(written, Scalar) and written.broken:
        return []
    refusal = refuse(
        written,
        "nothing is in it" if isinstance(written, Items) else "not a list",
        found=None if isinstance(written, Items) else described(written),
        expected="a list of backplanes, each a mapping with `type`",
        suggestion="Write `backplanes: [{type: kafka, options: …}, {type: file, options: …}]`.",
    )
    return list(refusal.findings)

"""The part under ``dataPlane.encoding``: a name, or a name with the encoder's options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from experiment_framework._config.contradictions import place_checked
from experiment_framework._config.conversion import convert
from experiment_framework._config.effective import EffectiveValue, effective_values, origin_of
from experiment_framework._config.fields import option_fields
from experiment_framework._config.findings import Finding, Refusal
from experiment_framework._config.nodes import Block, Node, Scalar, refuse
from experiment_framework._config.sensitive import declared
from experiment_framework._config.source import Source
from experiment_framework._problems import Path
from experiment_framework.errors import PluginError
from experiment_framework.plugin.encoder import Encoder

if TYPE_CHECKING:
    from experiment_framework._registry import Registry

__all__ = ["JSON", "EncodingSection"]

JSON: Final = "json"
"""The encoding that needs no encoder: a record's body is JSON already."""

_KEYS: Final = ("type", "distribution")


class EncodingSection:
    """What stands under ``encoding``, converted as far as it is right.

    Attributes:
        findings: What is wrong with it.
        encoder: The encoder, made with its options; None for JSON.
        node: What was written; None where nothing was.
    """

    def __init__(self, node: Node | None, registry: Registry) -> None:
        self.findings: list[Finding] = []
        self.encoder: Encoder[Any] | None = None
        self.node = node
        self._registry = registry
        self._class: type[Encoder[Any]] | None = None
        self._name = JSON
        self._options: Block | None = None
        if node is not None and not (isinstance(node, Scalar) and node.broken):
            try:
                self._convert(node)
            except Refusal as refusal:
                self.findings += refusal.findings

    def secrets(self) -> Iterator[Node]:
        """Give the nodes that hold secrets."""
        if self._class is not None and self._options is not None:
            yield from declared(self._options, self._class.options_class)

    def values(self, path: Path, source: Source) -> Iterator[EffectiveValue]:
        """List every value, defaults too; only where there is no problem."""
        if self.encoder is None:
            yield EffectiveValue(path=path, value=JSON, origin=origin_of(self.node, source))
            return
        kind = self.node.get("type") if isinstance(self.node, Block) else self.node
        yield EffectiveValue(path=(*path, "type"), value=self._name, origin=origin_of(kind, source))
        yield from effective_values(self.encoder.options, self._options, path, source)

    def _convert(self, node: Node) -> None:
        kind: Node | None = node
        wanted = None
        if isinstance(node, Block):
            kind = node.get("type")
            if kind is None:
                place = msgspec.structs.replace(node, path=(*node.path, "type"))
                raise refuse(place, "a required key is missing", expected=f"one of {self._known()}")
            wanted = node.get("distribution")
        assert kind is not None  # noqa: S101  # refused above
        self._name = convert(kind, str)
        self._options = _only_options(node)
        if self._name == JSON:
            self._refuse_options(self._options)
            return
        try:
            distribution = None if wanted is None else convert(wanted, str)
            self._class = self._registry.load_encoder(self._name, distribution)
            option_fields(self._class.options_class)  # what its author got wrong shows here
        except PluginError as error:
            raise refuse(kind, str(error)) from None
        self._make(self._class, self._options, kind)

    def _make(self, encoder_class: type[Encoder[Any]], options: Block, kind: Node) -> None:
        made = convert(options, encoder_class.options_class)
        try:
            encoder = encoder_class(made)
            problems = tuple(encoder.check())
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything
            reason = f"{encoder_class.__name__} cannot be made: {type(error).__name__}: {error}"
            raise refuse(kind, reason) from None
        self.findings += [
            place_checked(each, options, encoder_class.options_class) for each in problems
        ]
        self.encoder = encoder

    def _refuse_options(self, options: Block) -> None:
        for entry in options.without_extensions():
            place = msgspec.structs.replace(entry.value, span=entry.span or entry.value.span)
            self.findings += refuse(place, "json has no options").findings

    def _known(self) -> str:
        return ", ".join((JSON, *self._registry.encoder_names()))


def _only_options(node: Node) -> Block:
    if not isinstance(node, Block):
        return Block(
            path=node.path, span=node.span, key_span=node.key_span, via=node.via, entries=()
        )
    entries = tuple(entry for entry in node.entries if entry.key not in _KEYS)
    return msgspec.structs.replace(node, entries=entries)

"""The part under ``dataPlane``: options of core, steps of the pipeline, the backplane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from experiment_framework._config.backplane_list import as_composite
from experiment_framework._config.backplane_section import KEYS, BackplaneSection
from experiment_framework._config.contradictions import place_checked
from experiment_framework._config.conversion import convert
from experiment_framework._config.effective import EffectiveValue, effective_values
from experiment_framework._config.encoding_section import EncodingSection
from experiment_framework._config.fields import option_fields
from experiment_framework._config.findings import Finding, Refusal
from experiment_framework._config.interpolation import Interpolator
from experiment_framework._config.nodes import (
    Block,
    Entry,
    Node,
    Scalar,
    refuse,
    refuse_key,
)
from experiment_framework._config.scalars import described
from experiment_framework._config.sensitive import declared, suspected
from experiment_framework._config.source import Source
from experiment_framework._config.suggestions import closest
from experiment_framework._encoding import unusable as unusable_encoding
from experiment_framework._problems import Path
from experiment_framework.dataplane_options import DataPlaneOptions, check_delivery
from experiment_framework.errors import PluginError
from experiment_framework.plugin.encoder import Encoder
from experiment_framework.plugin.step import Step

if TYPE_CHECKING:
    from experiment_framework._registry import Registry

__all__ = ["DataPlaneSection"]

_BATCH_KEYS: Final = (
    "batchSize",
    "batchBytes",
    "flushIntervalMs",
    "retryDeadlineMs",
    "retryBackoffMs",
    "retryBackoffMaxMs",
)
_SECTIONS: Final = ("backplane", "backplanes", "encoding")
_NOT_YET: Final = {
    "piiRedaction": "No plugin that redacts is part of this version: remove the key, and "
    "publish nothing that must not leave.",
    "exposureSemantics": "No plugin for it is part of this version: remove the key.",
}


class DataPlaneSection:
    """What stands under ``dataPlane``, converted as far as it is right.

    Attributes:
        findings: What is wrong with it.
        options: Options of the data plane.
        steps: The steps of the pipeline.
        encoder: The encoder; None for JSON.
        backplane: The backplane; None where there is a problem with its type.
    """

    def __init__(
        self, node: Node, registry: Registry, environ: Mapping[str, str], source: Source
    ) -> None:
        interpolator = Interpolator(environ)
        self._node = interpolator.replace(node)
        self._registry = registry
        self._source = source
        self.findings: list[Finding] = interpolator.findings
        self.options = DataPlaneOptions()
        self.steps: tuple[Step[Any], ...] = ()
        self._backplane: BackplaneSection | None = None
        self._encoding = EncodingSection(None, registry)
        self._step_blocks: list[tuple[type[Step[Any]], Block]] = []
        if isinstance(self._node, Block):
            self._convert(self._node)
        elif not (isinstance(self._node, Scalar) and self._node.broken):
            self._refuse(
                refuse(
                    self._node,
                    "not a mapping",
                    found=described(self._node),
                    expected="`backplane` and options of the data plane",
                )
            )

    @property
    def backplane(self) -> BackplaneSection | None:
        """What stands under ``backplane``; None where there is no data plane to look in."""
        return self._backplane

    @property
    def encoder(self) -> Encoder[Any] | None:
        """The encoder, made with its options; None for JSON."""
        return self._encoding.encoder

    def secrets(self) -> Iterator[Node]:
        """Give the nodes that hold secrets."""
        yield from suspected(self._node)
        yield from self._encoding.secrets()
        if self._backplane is not None:
            yield from self._backplane.secrets()
        for step, block in self._step_blocks:
            yield from declared(block, step.options_class)

    def values(self) -> Iterator[EffectiveValue]:
        """List every value, defaults too; only where there is no problem."""
        path: Path = ("dataPlane",)
        unused = self._note_on_batches()
        for value in effective_values(self.options, self._node, path, self._source):
            note = unused if value.path[-1] in _BATCH_KEYS else ""
            yield attrs.evolve(value, used_by=note)
        yield from self._encoding.values((*path, "encoding"), self._source)
        for step, (_, block) in zip(self.steps, self._step_blocks, strict=True):
            yield from effective_values(step.options, block, path, self._source)
        if self._backplane is not None:
            yield from self._backplane.values((*path, "backplane"), self._source)

    def _note_on_batches(self) -> str:
        plugin = self._backplane.plugin if self._backplane is not None else None
        if plugin is None or getattr(plugin.target, "write_batch", None) is not None:
            return ""
        return f"not used by {plugin.name}"

    def _refuse(self, refusal: Refusal) -> None:
        self.findings += refusal.findings

    def _convert(self, block: Block) -> None:
        self._backplane = self._found_backplane(block)
        own: list[Entry] = []
        of_steps: dict[type[Step[Any]], list[Entry]] = {}
        known = {field.key for field in option_fields(DataPlaneOptions)}
        for entry in block.entries:
            if entry.key in known:
                own.append(entry)
            elif entry.key not in _SECTIONS and (step := self._step(entry, known)) is not None:
                of_steps.setdefault(step, []).append(entry)
        self._convert_own(_only(block, own))
        self._step_blocks = [(step, _only(block, entries)) for step, entries in of_steps.items()]
        made = [self._made_step(step, entries) for step, entries in self._step_blocks]
        self.steps = tuple(step for step in made if step is not None)
        self._encoding = EncodingSection(block.get("encoding"), self._registry)
        self.findings += [*self._backplane.findings, *self._encoding.findings]
        self._check_encoding(self._backplane, self._encoding)

    def _check_encoding(self, backplane: BackplaneSection, encoding: EncodingSection) -> None:
        """See that the backplane can be used with an encoder, where one is declared."""
        plugin = backplane.plugin
        if plugin is None or encoding.node is None or encoding.encoder is None:
            return
        if not plugin.takes_encoders:
            problem = unusable_encoding(plugin.name)
            self._refuse(refuse(encoding.node, problem.message, suggestion=problem.suggestion))

    def _found_backplane(self, block: Block) -> BackplaneSection:
        node, several = block.get("backplane"), block.get("backplanes")
        if several is not None and node is not None:
            entry = next(entry for entry in block.entries if entry.key == "backplanes")
            advice = "Keep one of them: `backplanes` is a list in place of `backplane`."
            self._refuse(refuse_key(entry, "there is a `backplane` too", suggestion=advice))
        elif several is not None:
            node, findings = as_composite(several)
            self.findings += findings
            if node is None:
                node = Scalar(text="", plain=True, path=several.path, broken=True)
        return BackplaneSection(node, block, self._registry, self.findings)

    def _convert_own(self, block: Block) -> None:
        try:
            self.options = convert(block, DataPlaneOptions)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        problems = check_delivery(self.options)
        self.findings += [place_checked(each, block, DataPlaneOptions) for each in problems]

    def _step(self, entry: Entry, known: set[str]) -> type[Step[Any]] | None:
        keys = self._registry.step_keys()
        if entry.key in keys:
            try:
                return self._registry.load_step(entry.key)
            except PluginError as error:
                self._refuse(refuse_key(entry, str(error)))
            return None
        if entry.key in _NOT_YET:
            self._refuse(
                refuse_key(
                    entry, "no plugin for this key is installed", suggestion=_NOT_YET[entry.key]
                )
            )
            return None
        names = sorted({*known, *keys, *_SECTIONS})
        self._refuse(
            refuse_key(
                entry,
                "unknown key: neither the data plane nor a plugin that is installed has it",
                expected=f"one of {', '.join(names)}",
                suggestion=self._advice(entry.key, names),
            )
        )
        return None

    def _advice(self, key: str, names: list[str]) -> str:
        if key in KEYS:
            return f"Indent it: `{key}` belongs under `backplane:`."
        if self._backplane is not None and key in self._backplane.option_keys():
            return f"Put `{key}` under `backplane:`, there under `options:`."
        if meant := closest(key, names):
            return f"Did you mean `{meant}`?"
        return "Install the plugin that has it; `experiment plugins` shows what is found."

    def _made_step(self, step: type[Step[Any]], block: Block) -> Step[Any] | None:
        try:
            options = convert(block, step.options_class)
        except Refusal as refusal:
            self._refuse(refusal)
            return None
        try:
            return step(options)
        except Exception as error:  # noqa: BLE001  # a plugin's constructor may raise anything
            reason = f"{step.__name__} cannot be made: {type(error).__name__}: {error}"
            self._refuse(refuse_key(block.entries[0], reason))
            return None


def _only(block: Block, entries: list[Entry]) -> Block:
    return msgspec.structs.replace(block, entries=tuple(entries))

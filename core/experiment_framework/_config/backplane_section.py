"""The part under ``dataPlane.backplane``: which one, and its options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from experiment_framework._config.choosing import CHOICE_KEYS, choosing
from experiment_framework._config.contradictions import place_checked
from experiment_framework._config.conversion import convert
from experiment_framework._config.effective import EffectiveValue, effective_values, origin_of
from experiment_framework._config.fields import option_fields
from experiment_framework._config.findings import NOTHING, Finding, Refusal
from experiment_framework._config.nodes import Block, Node, Scalar, refuse, refuse_key
from experiment_framework._config.scalars import described
from experiment_framework._config.sensitive import declared
from experiment_framework._config.source import Source
from experiment_framework._config.suggestions import closest
from experiment_framework._problems import Path, Problem
from experiment_framework.errors import PluginError

if TYPE_CHECKING:
    from experiment_framework._registry import BackplanePlugin, Registry

__all__ = ["KEYS", "BackplaneSection"]

KEYS: Final = CHOICE_KEYS


class BackplaneSection:
    """What says which backplane there is, and its options; converted as far as it is right.

    Attributes:
        findings: What is wrong with it.
        plugin: The backplane; None where it could not be loaded.
        options: Its options; None where they could not be made.
    """

    def __init__(
        self, node: Node | None, around: Block, registry: Registry, known: Sequence[Finding] = ()
    ) -> None:
        """Convert.

        Args:
            node: What stands under ``backplane``; None where nothing does.
            around: The block that has it in it.
            registry: Where it is looked up.
            known: What has been found before, about its scalars.
        """
        self.findings: list[Finding] = []
        self.plugin: BackplanePlugin | None = None
        self.options: Any = None
        self._registry = registry
        self._known = known
        self._secrets: list[Node] = []
        self._block = Block(entries=(), path=(*around.path, "backplane"))
        if node is None:
            place = around.key_span or around.span
            self._missing(
                msgspec.structs.replace(around, path=self._block.path, span=place),
                f"`backplane`: a mapping with `type`, one of {self._types()}",
            )
        elif isinstance(node, Block):
            self._block = node
            self._convert()
        elif not (isinstance(node, Scalar) and node.broken):
            self._refuse(_no_mapping(node))

    def option_keys(self) -> set[str]:
        """Give the keys of its options; none where it could not be loaded."""
        if self.plugin is None:
            return set()
        return {field.key for field in option_fields(self.plugin.options_class)}

    def secrets(self) -> Iterator[Node]:
        """Give the nodes that hold secrets."""
        yield from self._secrets
        options = self._block.get("options")
        if self.plugin is not None and options is not None:
            yield from declared(options, self.plugin.options_class)

    def values(self, path: Path, source: Source) -> Iterator[EffectiveValue]:
        """List every value, defaults too; only where there is no problem."""
        for key in ("type", "distribution"):
            node = self._block.get(key)
            if isinstance(node, Scalar):
                yield EffectiveValue(
                    path=(*path, key), value=node.text, origin=origin_of(node, source)
                )
        yield from effective_values(
            self.options, self._block.get("options"), (*path, "options"), source
        )

    def _refuse(self, refusal: Refusal) -> None:
        self.findings += refusal.findings

    def _missing(self, node: Node, expected: str) -> None:
        self._refuse(refuse(node, "a required key is missing", expected=expected))

    def _types(self) -> str:
        return ", ".join(self._registry.backplane_names()) or "none that is installed"

    def _convert(self) -> None:
        kind = self._block.get("type")
        if kind is None:
            block = self._block
            place = msgspec.structs.replace(
                block, path=(*block.path, "type"), span=block.key_span or block.span
            )
            self._missing(place, f"one of {self._types()}")
        else:
            self.plugin = self._loaded(kind)
        self._check_keys()
        if kind is not None and self.plugin is not None:
            self._convert_options(kind, self.plugin)

    def _loaded(self, kind: Node) -> BackplanePlugin | None:
        wanted = self._block.get("distribution")
        try:
            name = convert(kind, str)
            distribution = None if wanted is None else convert(wanted, str)
        except Refusal as refusal:
            self._refuse(refusal)
            return None
        try:
            plugin = self._registry.load_backplane(name, distribution)
            option_fields(plugin.options_class)  # what its author got wrong shows here
        except PluginError as error:
            self._refuse(refuse(kind, str(error)))
            return None
        return plugin

    def _check_keys(self) -> None:
        options = self.option_keys()
        for entry in self._block.without_extensions():
            if entry.key in KEYS:
                continue
            meant = closest(entry.key, KEYS)
            advice = f"Did you mean `{meant}`?" if meant else None
            if entry.key in options:
                advice = f"Put `{entry.key}` under `options:`."
            expected = f"one of {', '.join(KEYS)}"
            self._refuse(refuse_key(entry, "unknown key", expected=expected, suggestion=advice))

    def _convert_options(self, kind: Node, plugin: BackplanePlugin) -> None:
        written = self._block.get("options")
        if written is None:
            span = self._block.key_span
            path = (*self._block.path, "options")
            written = Block(entries=(), path=path, span=span, key_span=span)
        with choosing(self._registry) as inner:
            try:
                options = convert(written, plugin.options_class)
            except Refusal as refusal:
                self._refuse(refusal)
                options = refusal.partial
            except PluginError as error:
                self._refuse(refuse(kind, str(error)))
                return
            finally:
                self._secrets += inner.secrets
        if options is NOTHING:
            return
        self.options = options
        spoilt = self._spoilt(written.path)
        try:
            problems = plugin.check(options)
        except PluginError as error:
            if not spoilt:
                self._refuse(refuse(kind, str(error)))
            return
        placed = [place_checked(problem, written, plugin.options_class) for problem in problems]
        self.findings += [each for each in placed if not _touches(each.problem, spoilt)]

    def _spoilt(self, below: Path) -> list[Path]:
        """Give the paths whose values are defaults in place of what was written."""
        paths = (
            finding.problem.path if finding.spoils is None else finding.spoils
            for finding in (*self._known, *self.findings)
        )
        return [path for path in paths if path[: len(below)] == below]


def _no_mapping(node: Node) -> Refusal:
    is_null = isinstance(node, Scalar) and node.is_null
    name = node.text if isinstance(node, Scalar) and not is_null else "NAME"
    place = msgspec.structs.replace(node, span=node.key_span) if is_null and node.key_span else node
    return refuse(
        place,
        "not a mapping",
        found=described(node),
        expected="a mapping of type, options",
        suggestion=f"Write `backplane: {{type: {name}}}`.",
    )


def _touches(problem: Problem, spoilt: Sequence[Path]) -> bool:
    return any(
        path[: len(each)] == each[: len(path)]
        for path in (problem.path, *problem.involves)
        for each in spoilt
    )

"""Loads a configuration: everything that is right about it, or everything that is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from experiment_framework._config.dataplane_section import DataPlaneSection
from experiment_framework._config.effective import EffectiveValue
from experiment_framework._config.findings import Finding, Refusal, Span
from experiment_framework._config.nodes import (
    Block,
    Node,
    Scalar,
    from_python,
    refuse,
    refuse_key,
    to_python,
)
from experiment_framework._config.rendering import Renderer
from experiment_framework._config.secrets import Secrets
from experiment_framework._config.sensitive import slipped, spans_below, suspected, texts_below
from experiment_framework._config.source import MAX_BYTES, Source, read_source, source_name
from experiment_framework._config.suggestions import closest
from experiment_framework._config.unparsed import suspects
from experiment_framework._problems import Path, Problem
from experiment_framework.dataplane_options import DataPlaneOptions
from experiment_framework.errors import ConfigError
from experiment_framework.plugin.encoder import Encoder
from experiment_framework.plugin.step import Step

if TYPE_CHECKING:
    from experiment_framework._registry import BackplanePlugin, Registry

__all__ = ["ROOT", "Config", "load"]

ROOT: Final = "experimentFramework"
_MOST_PROBLEMS: Final = 100
_SECTIONS: Final = ("settings", "dataPlane", "trials")


@attrs.frozen(kw_only=True, slots=False)
class Config:
    """A configuration without problems.

    Attributes:
        source: The name of the file, ``<text>`` or ``<mapping>``.
        data_plane: Options of the data plane.
        backplane: The backplane that it names.
        backplane_options: That backplane's options.
        steps: The steps of the pipeline, made with their options.
        encoder: The encoder, made with its options; None for JSON.
        settings: What stands beside ``dataPlane`` for other parts of the framework, as written.
        trials: The same.
    """

    source: str
    data_plane: DataPlaneOptions
    backplane: BackplanePlugin
    backplane_options: Any
    steps: tuple[Step[Any], ...]
    encoder: Encoder[Any] | None = None
    settings: Any = None
    trials: Any = None
    _section: DataPlaneSection = attrs.field(repr=False, eq=False, alias="section")

    @cached_property
    def values(self) -> tuple[EffectiveValue, ...]:
        """Every value with its origin, defaults too; secrets are masked."""
        return tuple(self._section.values())


def load(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Config:
    """Load a configuration and check all of it; offline.

    Args:
        source: The path of a YAML or JSON file, its text, or a mapping. A string is text where it
            holds a newline or begins like a mapping.
        registry: Where plugins are looked up; by default those that are installed.
        environ: What ``${NAME}`` stands for; by default the process's environment.
        max_bytes: The largest file in bytes that is read.

    Raises:
        ConfigError: With every problem, each with its place.
    """
    if registry is None:
        from experiment_framework._registry import default_registry  # not always

        registry = default_registry()
    loading = _Loading(registry, os.environ if environ is None else environ)
    config = loading.run(source, max_bytes)
    if config is None:
        problems, rendering = loading.report()
        raise ConfigError(problems, rendering)
    return config


class _Loading:
    """One load."""

    def __init__(self, registry: Registry, environ: Mapping[str, str]) -> None:
        self._registry = registry
        self._environ = environ
        self._source = Source("<mapping>", "")
        self._root: Node | None = None
        self._section: DataPlaneSection | None = None
        self._findings: list[Finding] = []

    def run(
        self, source: str | os.PathLike[str] | Mapping[str, Any], max_bytes: int
    ) -> Config | None:
        """Load; None where there are findings."""
        try:
            self._root = self._parsed(source, max_bytes)
            framework = self._framework(self._root)
        except Refusal as refusal:
            self._findings += refusal.findings
            return None
        section = self._data_plane(framework)
        if self._findings or section is None or section.backplane is None:
            return None
        backplane = section.backplane
        assert backplane.plugin is not None  # noqa: S101  # nothing was found to be wrong
        return Config(
            source=self._source.name,
            data_plane=section.options,
            backplane=backplane.plugin,
            backplane_options=backplane.options,
            steps=section.steps,
            encoder=section.encoder,
            settings=_kept(framework, "settings"),
            trials=_kept(framework, "trials"),
            section=section,
        )

    def report(self) -> tuple[list[Problem], str]:
        """Give the problems with their places, masked, and how they read."""
        is_text = bool(self._source.text)
        hidden: list[Span] | None = None
        texts: list[str] = []
        paths, keys = [], []
        if self._root is not None:
            # A key or value that is marked as one may have been part of a secret above it.
            hidden = suspects(self._source.text) if _EXPLICIT.search(self._source.text) else []
            secret_nodes = list(suspected(self._root))
            if self._section is not None:
                secret_nodes = [*self._section.secrets(), *secret_nodes]
            for entry in slipped(self._root, self._source.text):
                hidden += [] if entry.span is None else [entry.span]
                hidden += spans_below(entry.value)
                texts += [entry.key, *texts_below(entry.value)]
                keys.append(entry.value.path)
            for node in secret_nodes:
                hidden += spans_below(node)
                texts += texts_below(node)
                paths.append(node.path)
        secrets = Secrets(texts, [*paths, *keys], keys)
        findings = sorted(
            self._findings, key=lambda finding: finding.span.start if finding.span else 0
        )
        findings = [self._located(finding, secrets) for finding in _first(findings)]
        renderer = Renderer(self._source if is_text else None, secrets, hidden)
        rendering = renderer.render(self._source.name, findings)
        return [self._noted(finding) for finding in findings], rendering

    def _located(self, finding: Finding, secrets: Secrets) -> Finding:
        problem = secrets.mask(finding.problem)
        problem = msgspec.structs.replace(
            problem,
            path=_below_root(problem.path),
            involves=tuple(_below_root(path) for path in problem.involves),
        )
        if finding.span is not None and self._source.text:
            location = self._source.location(finding.span.start)
            problem = msgspec.structs.replace(problem, location=location)
        return msgspec.structs.replace(finding, problem=problem)

    def _noted(self, finding: Finding) -> Problem:
        """Give a problem that says in words what its rendering shows as lines."""
        if not self._source.text:
            return finding.problem
        notes = tuple(
            f"{related.label}: {self._source.location(related.span.start)}"
            for related in finding.related
        )
        return msgspec.structs.replace(finding.problem, notes=(*notes, *finding.problem.notes))

    def _parsed(self, source: str | os.PathLike[str] | Mapping[str, Any], max_bytes: int) -> Node:
        if isinstance(source, Mapping):
            return from_python(source)
        # ruamel is needed for text only.
        from experiment_framework._config.parsing import compose
        from experiment_framework._config.tree import Builder

        self._source = Source(source_name(source), "")
        self._source = read_source(source, max_bytes)
        root, findings = compose(self._source)
        self._findings += findings
        if root is None:
            raise Refusal([Finding(Problem(message="nothing is in it", suggestion=_START))])
        builder = Builder()
        tree = builder.build(root)
        self._findings += builder.findings
        return tree

    def _framework(self, root: Node) -> Block:
        if not isinstance(root, Block):
            raise refuse(root, "a configuration is a mapping", suggestion=_START)
        self._unknown(root, (ROOT, "$schema"), _MOVED)
        found = root.get(ROOT)
        if found is None:
            raise refuse(
                msgspec.structs.replace(root, path=(ROOT,)),
                "a required key is missing",
                suggestion=_START,
            )
        if isinstance(found, Scalar) and found.broken:
            raise Refusal(())
        if not isinstance(found, Block):
            raise refuse(found, "not a mapping", expected=f"keys {_listed(_SECTIONS)}")
        self._unknown(found, _SECTIONS, {})
        return found

    def _unknown(self, block: Block, known: tuple[str, ...], moved: Mapping[str, str]) -> None:
        for entry in block.without_extensions():
            if entry.key in known:
                continue
            meant = closest(entry.key, known)
            advice = moved.get(entry.key) or (f"Did you mean `{meant}`?" if meant else None)
            refusal = refuse_key(
                entry, "unknown key", expected=f"one of {_listed(known)}", suggestion=advice
            )
            self._findings += refusal.findings

    def _data_plane(self, framework: Block) -> DataPlaneSection | None:
        node = framework.get("dataPlane")
        if node is None:
            missing = msgspec.structs.replace(
                framework, path=(*framework.path, "dataPlane"), span=framework.key_span
            )
            self._findings += refuse(missing, "a required key is missing").findings
            return None
        self._section = DataPlaneSection(node, self._registry, self._environ, self._source)
        self._findings += self._section.findings
        return self._section


_EXPLICIT: Final = re.compile(r"^[ -]*[?:](?:\s|$)", re.MULTILINE)
_START: Final = "Begin with `experimentFramework:`; `experiment init` writes an example."
_MOVED: Final = dict.fromkeys((*_SECTIONS, "dataplane"), f"Put it under `{ROOT}:`.") | {
    "backplane": f"Put it under `{ROOT}:`, `dataPlane:`."
}


def _below_root(path: Path) -> Path:
    return path[1:] if path[:1] == (ROOT,) and len(path) > 1 else path


def _first(findings: list[Finding]) -> list[Finding]:
    """Leave out what nobody would read, and say so."""
    if len(findings) <= _MOST_PROBLEMS:
        return findings
    more = len(findings) - _MOST_PROBLEMS
    rest = Finding(Problem(message=f"and {more} more problems"), findings[_MOST_PROBLEMS].span)
    return [*findings[:_MOST_PROBLEMS], rest]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _kept(framework: Block, key: str) -> Any:
    node = framework.get(key)
    return None if node is None else to_python(node)

"""From ruamel's nodes to ours: aliases expanded, merge keys resolved, duplicates found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as ParsedNode

from experiment_framework._config.core_schema import plain_value
from experiment_framework._config.findings import Finding, Refusal, Related, Span
from experiment_framework._config.nodes import MAX_DEPTH, Block, Entry, Items, Node, Scalar
from experiment_framework._problems import Path, Problem

__all__ = ["MAX_ALIASED", "Builder"]

MAX_ALIASED: Final = 10_000
_PREFIX: Final = "tag:yaml.org,2002:"
_HALF_A_PAIR: Final = "half of a surrogate pair stands alone"
_TYPED: Final = frozenset({"int", "float", "bool", "null"})
_IMPLICIT: Final = _TYPED | {"str", "timestamp", "merge", "value"}


class Builder:
    """Builds one tree.

    Attributes:
        findings: What is wrong with it so far.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._found: set[tuple[str, Span | None]] = set()
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._aliased = 0

    def build(
        self,
        parsed: ParsedNode,
        path: Path = (),
        key_span: Span | None = None,
        via: tuple[Related, ...] = (),
    ) -> Node:
        """Build the node for what was parsed; what cannot be built is a broken scalar.

        Raises:
            Refusal: Aliases expand to too much.
        """
        span = span_of(parsed)
        known = id(parsed) in self._seen
        if known and key_span is not None and not via:
            via = (*via, Related(key_span, "used here by an alias"))
        if problem := self._refused(parsed, path, again=known or bool(via)):
            self._find(problem, path, span, via)
            return Scalar(
                text="", plain=False, broken=True, path=path, span=span, key_span=key_span, via=via
            )
        self._seen.add(id(parsed))
        if isinstance(parsed, ScalarNode):
            return self._scalar(parsed, path, key_span, via)
        self._open.add(id(parsed))
        try:
            return self._collection(parsed, path, key_span, via)
        finally:
            self._open.discard(id(parsed))

    def _refused(self, parsed: ParsedNode, path: Path, *, again: bool) -> str | None:
        if id(parsed) in self._open:
            return "this alias stands inside what it refers to"
        if len(path) > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH} levels"
        self._aliased += again
        if self._aliased > MAX_ALIASED:
            message = f"aliases expand to more than {MAX_ALIASED} values"
            raise Refusal([Finding(Problem(message=message, path=path), span_of(parsed))])
        return None

    def _scalar(
        self, parsed: ScalarNode, path: Path, key_span: Span | None, via: tuple[Related, ...]
    ) -> Scalar:
        span = span_of(parsed)
        if key_span is not None and span.start == span.end:
            span = key_span  # nothing is written, and its place is wherever the next thing begins
        text = _joined(str(parsed.value))
        broken = text is None
        if text is None:
            text = ""
            self._find(_HALF_A_PAIR, path, span, via)
        plain = parsed.style is None
        tag = _tag(parsed)
        if tag not in (_IMPLICIT if plain else _TYPED | {"str"}):
            broken = True
            self._find("this tag has no meaning here", path, span, via, "Leave the `!…` out.")
        elif tag == "str" and not isinstance(plain_value(text), str):
            plain = False  # an explicit `!!str`: the text alone would be something else
        elif not plain:
            plain = tag in _TYPED
        return Scalar(
            text=text, plain=plain, broken=broken, path=path, span=span, key_span=key_span, via=via
        )

    def _collection(
        self, parsed: ParsedNode, path: Path, key_span: Span | None, via: tuple[Related, ...]
    ) -> Node:
        span = span_of(parsed)
        if _tag(parsed) not in {"map", "seq"}:
            self._find("this tag has no meaning here", path, span, via, "Leave the `!…` out.")
        if isinstance(parsed, SequenceNode):
            items = tuple(
                self.build(item, (*path, index), key_span, via)
                for index, item in enumerate(parsed.value)
            )
            return Items(items=items, path=path, span=span, key_span=key_span, via=via)
        entries = tuple(self._entries(parsed.value, path, via))
        return Block(entries=entries, path=path, span=span, key_span=key_span, via=via)

    def _entries(
        self, pairs: list[tuple[ParsedNode, ParsedNode]], path: Path, via: tuple[Related, ...]
    ) -> Iterator[Entry]:
        written: dict[str, Span] = {}
        merges: list[tuple[ParsedNode, Span]] = []
        for key_node, value in pairs:
            key_span = span_of(key_node)
            key = self._key(key_node, path, via)
            if key is None:
                continue
            if key in written:
                self._duplicate(key, (*path, key), key_span, written[key], via)
                continue
            written[key] = key_span
            if key == "<<" and getattr(key_node, "style", None) is None:
                merges.append((value, key_span))
            else:
                yield Entry(key, self.build(value, (*path, key), key_span, via), key_span)
        for value, key_span in merges:
            yield from self._merged(value, path, key_span, via, written)

    def _key(self, parsed: ParsedNode, path: Path, via: tuple[Related, ...]) -> str | None:
        if isinstance(parsed, ScalarNode):
            key = _joined(str(parsed.value))
            if key is None:
                self._find(_HALF_A_PAIR, path, span_of(parsed), via)
            return key
        self._find("a key has to be a word, not a list or a mapping", path, span_of(parsed), via)
        return None

    def _merged(
        self,
        value: ParsedNode,
        path: Path,
        key_span: Span,
        via: tuple[Related, ...],
        written: dict[str, Span],
    ) -> Iterator[Entry]:
        merged_via = (*via, Related(key_span, "merged here by `<<`"))
        bases = value.value if isinstance(value, SequenceNode) else [value]
        for base in bases:
            if not isinstance(base, MappingNode):
                self._find(
                    "`<<` merges mappings only", (*path, "<<"), key_span, via, "Use `<<: *anchor`."
                )
            elif id(base) in self._open:
                self._find("`<<` merges a mapping into itself", (*path, "<<"), key_span, via)
            elif self._may_open(base, path, key_span, via):
                self._open.add(id(base))
                try:
                    for entry in self._entries(base.value, path, merged_via):
                        if entry.key not in written:
                            written[entry.key] = key_span
                            yield entry
                finally:
                    self._open.discard(id(base))

    def _may_open(
        self, base: ParsedNode, path: Path, key_span: Span, via: tuple[Related, ...]
    ) -> bool:
        problem = self._refused(base, path, again=True)
        if problem is not None:
            self._find(problem, (*path, "<<"), key_span, via)
        return problem is None

    def _duplicate(
        self, key: str, path: Path, span: Span, first: Span, via: tuple[Related, ...]
    ) -> None:
        problem = Problem(
            message="this key is there twice",
            path=path,
            suggestion="Keep one of the two." if key != "<<" else "Merge a list: `<<: [*a, *b]`.",
        )
        self._add(Finding(problem, span, (Related(first, "first written here"), *via)))

    def _find(
        self,
        message: str,
        path: Path,
        span: Span,
        via: tuple[Related, ...],
        suggestion: str | None = None,
    ) -> None:
        problem = Problem(message=message, path=path, suggestion=suggestion)
        self._add(Finding(problem, span, via))

    def _add(self, finding: Finding) -> None:
        # What an alias repeats is wrong once.
        place = (finding.problem.message, finding.span)
        if place not in self._found:
            self._found.add(place)
            self.findings.append(finding)


def span_of(parsed: Any) -> Span:
    """Give where a parsed node is written."""
    return Span(parsed.start_mark.index, parsed.end_mark.index)


def _joined(text: str) -> str | None:
    """Join the surrogate pairs that JSON's escapes leave; None where half of one is alone."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def _tag(parsed: ParsedNode) -> str:
    return str(parsed.tag).removeprefix(_PREFIX)

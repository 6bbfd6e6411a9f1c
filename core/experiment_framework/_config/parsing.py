"""From text to ruamel's nodes: syntax, within limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner

from experiment_framework._config.findings import Finding, Refusal, Related, Span
from experiment_framework._config.nodes import MAX_DEPTH
from experiment_framework._config.source import Source
from experiment_framework._problems import Problem

__all__ = ["compose"]

_DIRECTIVE: Final = re.compile(r"%YAML[ \t]+([^\s#]+)")
# What stands in quotes in a syntax error may be a piece of a secret, with quotes in it or without.
_QUOTED: Final = re.compile(r"\s*(['\"]).*\1", re.DOTALL)
# Single signs help.
_SIGN: Final = re.compile(r"(['\"])([^\w\s'\"]|\\[a-z])\1")
_PYTHON_NAMES: Final = {
    "<document start>": "the end of the document",
    "<block end>": "the end of the block",
    "<block mapping start>": "a mapping",
    "<stream end>": "the end of the text",
}


class _TooDeepError(MarkedYAMLError):
    pass


class _Scanner(Scanner):
    """Refuses deep flow collections bracket by bracket: looking ahead in them is quadratic."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803  # ruamel's name
        if self.flow_level >= MAX_DEPTH:
            raise _TooDeepError(problem_mark=self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


class _Composer(Composer):
    """Refuses deep nesting before Python's stack does, and leaves anchors to be reused."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self._level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._level >= MAX_DEPTH:
            raise _TooDeepError(problem_mark=self.parser.peek_event().start_mark)
        self._level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._level -= 1


def compose(source: Source) -> tuple[Node | None, list[Finding]]:
    """Parse one document.

    Returns:
        Its root, None where there is none, and what is wrong with its directives.

    Raises:
        Refusal: It is no YAML 1.2 (JSON is), or nested too deeply.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    yaml.Composer = _Composer
    findings = list(_directives(source))
    text = source.text
    for finding in findings:
        if finding.span is not None:  # ruamel would follow it, or give up
            length = finding.span.end - finding.span.start
            text = text[: finding.span.start] + " " * length + text[finding.span.end :]
    try:
        root = yaml.compose(text)
    except ReaderError as error:
        raise _unprintable(error) from None
    except MarkedYAMLError as error:
        raise _syntax(source, error) from None
    except (ValueError, OverflowError):  # chr() of an escape beyond Unicode
        raise _at(0, "a `\\U` escape names a character that Unicode does not have") from None
    return root, findings


def _directives(source: Source) -> Iterator[Finding]:
    offset = 0
    for line in source.text.split("\n"):
        if line.strip() and not line.startswith(("#", "%")):
            break
        match = _DIRECTIVE.match(line)
        if match and match[1] != "1.2":
            problem = Problem(
                message="configurations are YAML 1.2",
                found=f"%YAML {match[1]}"[:40],
                suggestion="Leave the directive out: in YAML 1.1, `off` would be false.",
            )
            yield Finding(problem, Span(offset, offset + len(match[0])))
        offset += len(line) + 1


def _unprintable(error: ReaderError) -> Refusal:
    character = error.character
    code = ord(character) if isinstance(character, str) else int(character)
    return _at(error.position, f"the character U+{code:04X} is not allowed in YAML")


def _syntax(source: Source, error: MarkedYAMLError) -> Refusal:
    mark = error.problem_mark or error.context_mark
    offset = mark.index if mark else 0
    if isinstance(error, _TooDeepError):
        return _at(offset, f"nested deeper than {MAX_DEPTH} levels")
    if "single document" in str(error.context):
        return _at(offset, "a second document begins here; a configuration is one document")
    parts = [str(part) for part in (error.context, error.problem) if part]
    message = "; ".join(_without_content(part) for part in parts)
    if "quoted scalar" in message and "end of stream" in message:
        message = "this quote is never closed"
    began = error.context_mark
    if began and ("could not find" in message or "never closed" in message):
        offset = began.index  # the end of the text says nothing
    refusal = _at(offset, f"not valid YAML: {message}", _advice(source.text, offset, message))
    if began and began.index != offset:
        related = Related(Span(began.index, began.index + 1), "begins here")
        refusal.findings = [msgspec.structs.replace(refusal.findings[0], related=(related,))]
    return refusal


def _without_content(text: str) -> str:
    for name, meaning in _PYTHON_NAMES.items():
        text = text.replace(f"('{name}',)", meaning).replace(f"'{name}'", meaning)
    text = re.sub(r"\('(<[a-z -]+>|.)',\)", r"'\1'", text)
    text = re.sub(r"'<([a-z -]+)>'", r"\1", text)
    signs = _SIGN.sub("\0\\2\0", text)
    return _QUOTED.sub("", signs).replace("\0", "'").strip()


def _advice(text: str, offset: int, message: str) -> str | None:
    line_start = text.rfind("\n", 0, offset) + 1
    line_end = text.find("\n", offset)
    line = text[line_start : line_end if line_end >= 0 else len(text)]
    if "${" in line and ('"${' not in line and "'${" not in line):
        return 'Put quotes around what contains `${…}`: ["${NAME}"].'
    character = text[offset : offset + 1]
    if character == "\t":
        return "Indent with spaces."
    if "alias" in message or (character and character in "*&!%@`"):
        return "Put quotes around a value that begins with one of * & ! % @ `."
    if "mapping values are not allowed" in message:
        return "Put quotes around a value that contains `: `."
    return None


def _at(offset: int, message: str, suggestion: str | None = None) -> Refusal:
    problem = Problem(message=message, suggestion=suggestion)
    return Refusal([Finding(problem, Span(offset, offset + 1))])

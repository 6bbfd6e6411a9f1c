"""Keeps secrets out of everything that is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, overload

import msgspec

from experiment_framework._problems import Path, Problem

__all__ = [
    "MASK",
    "SECRET_WORDS",
    "Secrets",
    "is_reference",
    "is_secret_name",
    "repr_without_secrets",
    "scrubbed",
    "secret_parts",
]

MASK: Final = "***"
# Shorter ones would black out ordinary words, and hide little.
_SHORTEST: Final = 4
SECRET_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "keypem",
    "jaasconfig",
    "oauthbearerconfig",
)
_SHORT_WORDS: Final = frozenset({"pass", "pw"})
_SPELLINGS: Final = ("password", "passphrase", "secret", "token", "credentials")
# What tells where a secret is, or about it, is none.
_HARMLESS: Final = ("file", "path", "location", "url", "uri", "endpoint", "ms", "seconds", "name")
_PARTS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
# Names are bounded and begin where a word does, so that no line takes quadratic time.
_LOGIN: Final = re.compile(
    r"(?<![a-zA-Z0-9+.-])[a-zA-Z][a-zA-Z0-9+.-]{0,30}://([^/@\s'\"]{1,999})@"
)
# With `:` or `=`, or with neither: `password hunter2`, where a colon was forgotten.
# Whatever a slip put into the name is part of it: `pass[word: hunter2`.
_NAME: Final = re.compile(
    r"""(?:^|(?<=[\s{,\[(&?"']))([^\s:=]{1,100})(?:\s*[:=][\s:=;,}\]]*|[ \t]+)""", re.MULTILINE
)
_VALUE: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|\$\{\w+\}|[^\s,;}\]][^,;}\]]*)""")
_REFERENCE: Final = re.compile(r"""["']?\$\{[A-Za-z_]\w*\}["']?""")


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a key that nobody declared looks like that of a secret."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain.endswith(_HARMLESS):
        return False
    if any(word in plain for word in SECRET_WORDS):
        return True
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not _SHORT_WORDS.isdisjoint(parts):
        return True
    # A capital may be a word's beginning, or a slip within one.
    parts += re.findall(r"[a-z0-9]+", name.lower())
    return any(difflib.get_close_matches(part, _SPELLINGS, n=1, cutoff=0.8) for part in parts)


def is_reference(written: str) -> bool:
    """Whether a value, as written, is the name of a variable and nothing else: no secret itself."""
    return _REFERENCE.fullmatch(written) is not None


def secret_parts(text: str) -> Iterator[tuple[int, int]]:
    """Give what looks like a secret in text: logins in URLs, the value of ``password=…``."""
    for match in _LOGIN.finditer(text):
        yield match.span(1)
    at = 0
    while (name := _NAME.search(text, at)) is not None:
        at = name.end()
        if is_secret_name(name[1]) and (value := _VALUE.match(text, at)) is not None:
            if not is_reference(value[0]):
                yield value.span()
            at = value.end()


def scrubbed(text: str) -> str:
    """Mask what looks like a secret in text."""
    last = len(text)
    for start, end in sorted(secret_parts(text), reverse=True):
        if end <= last:
            text = f"{text[:start]}{MASK}{text[end:]}"
            last = start
    return text


def repr_without_secrets(value: object) -> str:
    """Give the `repr` of an option's value, entries of mappings masked by their names."""
    if isinstance(value, Mapping):
        items = (
            f"{key!r}: {MASK!r}" if is_secret_name(str(key)) else f"{key!r}: {scrubbed(repr(item))}"
            for key, item in value.items()
        )
        return "{" + ", ".join(items) + "}"
    return scrubbed(repr(value)) if isinstance(value, str | list | tuple) else repr(value)


class Secrets:
    """The secrets of one configuration.

    Args:
        values: Texts.
        paths: Where values stand.
        keys: Where entries stand of which the key is secret, too.
    """

    def __init__(
        self, values: Iterable[str] = (), paths: Iterable[Path] = (), keys: Iterable[Path] = ()
    ) -> None:
        self._values = sorted(
            {value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True
        )
        self._paths = tuple(paths)
        self._keys = frozenset(keys)

    def covers(self, path: Path) -> bool:
        """Whether what stands at a path, or above it, is a secret."""
        return any(path[: len(secret)] == secret for secret in self._paths)

    def parts_of(self, text: str) -> Iterator[tuple[int, int]]:
        """Give the parts of a line that are secrets, or look like some."""
        yield from secret_parts(text)
        for value in self._values:
            start = text.find(value)
            while start >= 0:
                yield start, start + len(value)
                start = text.find(value, start + len(value))

    @overload
    def without(self, text: str) -> str: ...
    @overload
    def without(self, text: None) -> None: ...
    def without(self, text: str | None) -> str | None:
        """Replace every secret in a text."""
        if text is None:
            return None
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def _shown(self, part: str | int, path: Path) -> str | int:
        if path in self._keys:
            return MASK
        return scrubbed(self.without(part)) if isinstance(part, str) else part

    def mask(self, problem: Problem) -> Problem:
        """Give a problem that shows no secret."""
        found = problem.found
        if found is not None:
            found = MASK if self.covers(problem.path) else scrubbed(found)
        return msgspec.structs.replace(
            problem,
            path=tuple(
                self._shown(part, problem.path[: depth + 1])
                for depth, part in enumerate(problem.path)
            ),
            message=self.without(problem.message),
            found=self.without(found),
            expected=self.without(problem.expected),
            suggestion=self.without(problem.suggestion),
            notes=tuple(self.without(note) for note in problem.notes),
        )

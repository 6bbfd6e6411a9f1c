"""The files of a new plugin, from a template that is a working distribution itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import attrs

__all__ = ["PluginName", "project_files"]

_FORM: Final = re.compile(r"[a-z][A-Za-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST: Final = 40
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SUFFIX: Final = "backplane"
_REQUIRED: Final = "experiment-framework-core~="


@attrs.frozen
class PluginName:
    """The type of a backplane, and what else is called after it.

    Attributes:
        type: What ``type`` selects it by, such as ``googlePubSub``.
    """

    type: str

    @classmethod
    def fault(cls, text: str) -> str | None:
        """Say what keeps a text from being a name; None where nothing does."""
        if _FORM.fullmatch(text) is None:
            fault = (
                "begins with a small letter and has letters, digits and single hyphens only, such "
                "as redis, googlePubSub or my-sink"
            )
        elif len(text) > _LONGEST:
            fault = f"has at most {_LONGEST} characters"
        elif text.lower().endswith(_SUFFIX):
            fault = f"does not end in '{_SUFFIX}': that is added where it belongs"
        else:
            return None
        meant = cls._nearest(text)
        return f"a type {fault}" + (f". Did you mean '{meant}'?" if meant else "")

    @classmethod
    def _nearest(cls, text: str) -> str | None:
        words = [word.lower() for word in re.findall(r"[A-Za-z0-9]+", text)]
        while words and (words[0][0].isdigit() or words[-1] == _SUFFIX):
            words = words[1:] if words[0][0].isdigit() else words[:-1]
        meant = "-".join(words).removesuffix(_SUFFIX)[:_LONGEST].rstrip("-")
        return meant if _FORM.fullmatch(meant) else None

    @property
    def distribution(self) -> str:
        """The name of the distribution, such as ``google-pub-sub-backplane``."""
        return "-".join([*self._words, _SUFFIX])

    @property
    def package(self) -> str:
        """The name of its package, such as ``google_pub_sub_backplane``."""
        return self.distribution.replace("-", "_")

    @property
    def class_prefix(self) -> str:
        """What its classes begin with, such as ``GooglePubSub``."""
        return "".join(word.capitalize() for word in self._words)

    @property
    def _words(self) -> list[str]:
        return [word.lower() for word in _WORDS.findall(self.type)]


def project_files(name: PluginName) -> dict[str, str]:
    """Give the text of each file of a new distribution, by its path in it."""
    template = files("experiment_framework._cli").joinpath("plugin_template")
    core = version("experiment-framework-core")
    return {
        _rendered(path, name): re.sub(
            rf"(?<={_REQUIRED})[^\"]+", core, _rendered(file.read_text("utf-8"), name)
        )
        for path, file in sorted(_files_below(template), key=lambda each: each[0])
    }


def _files_below(folder: Traversable, outer: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        # A name that begins with a dot would be left out, here and there, on its way to a user.
        path = outer + re.sub(r"^dot-", ".", each.name)
        if each.is_dir():
            if each.name != "__pycache__":
                yield from _files_below(each, f"{path}/")
        else:
            yield path, each


def _rendered(text: str, name: PluginName) -> str:
    named = {
        "sample-backplane": name.distribution,
        "sample_backplane": name.package,
        "Sample": name.class_prefix,
        "sample": name.type,
    }
    return re.sub("|".join(named), lambda found: named[found[0]], text)

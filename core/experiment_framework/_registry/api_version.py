"""Whether a plugin was written for the plugin API that is here."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from experiment_framework.errors import HookError
from experiment_framework.plugin.version import API_VERSION

__all__ = ["check_api_version", "check_import"]

_CORE: Final = "experiment-framework-core"
_PACKAGE: Final = "experiment_framework"
_FORM: Final = re.compile(r"([0-9]+)\.([0-9]+)")


def check_api_version(
    target: object, kind: str, name: str, distribution: str | None = None
) -> None:
    """Compare the version that a plugin was written for with ours; one that says none may try.

    Args:
        target: The class, object or module; its ``api_version`` is what is looked at.
        kind: ``backplane``, ``step`` or another kind of plugin.
        name: The plugin's name.
        distribution: The distribution it comes from.

    Raises:
        HookError: It needs something newer, or something that is not there any more.
    """
    written_for = getattr(target, "api_version", None)
    if written_for is None:
        return
    who = _who(kind, name, distribution)
    form = _FORM.fullmatch(written_for) if isinstance(written_for, str) else None
    if form is None:
        fault = f"its api_version is {written_for!r}; expected text such as '{API_VERSION}'"
        raise HookError(name, f"{who}: {fault}", distribution=distribution)
    theirs, ours = (int(form[1]), int(form[2])), _numbers(API_VERSION)
    if theirs > ours:
        advice = f"upgrade {_CORE} (this is {_core_version()})"
    elif theirs[0] < ours[0]:
        advice = f"upgrade {distribution or 'the plugin'}, or stay with a {_CORE} that has it"
    else:
        return
    raise HookError(
        name,
        f"{who} was written for version {written_for} of the plugin API, and version "
        f"{API_VERSION} is here: {advice}",
        distribution=distribution,
    )


def check_import(error: ImportError, kind: str, name: str, distribution: str | None = None) -> None:
    """Say so where a plugin could not be imported because it wants what this API does not have.

    Raises:
        HookError: That is why.
    """
    module = error.name or ""
    if module.partition(".")[0] != _PACKAGE:
        return
    raise HookError(
        name,
        f"{_who(kind, name, distribution)} was written for another version of the plugin API than "
        f"{API_VERSION}, which is here: {error.msg}. Upgrade {_CORE} (this is {_core_version()}) "
        "where the plugin is newer, or the plugin where it is older",
        distribution=distribution,
    ) from error


def _who(kind: str, name: str, distribution: str | None) -> str:
    return f"{kind} '{name}'" + (f" from {distribution}" if distribution else "")


def _numbers(written: str) -> tuple[int, int]:
    major, _, minor = written.partition(".")
    return int(major), int(minor)


def _core_version() -> str:
    try:
        return version(_CORE)
    except PackageNotFoundError:  # frozen into one file, without metadata
        return "of unknown version"

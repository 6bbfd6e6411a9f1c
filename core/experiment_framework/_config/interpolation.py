"""``${VAR}`` in scalars, replaced after parsing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from experiment_framework._config.findings import Finding, Refusal
from experiment_framework._config.nodes import Block, Entry, Items, Node, Scalar, refuse

__all__ = ["Interpolator"]

_TOKEN: Final = re.compile(r"\$\$|\$\{([^}]*)(\}?)", re.DOTALL)
_REFERENCE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:[-?])(.*))?", re.DOTALL)
_FORMS: Final = "`${NAME}`, `${NAME:-default}` or `${NAME:?message}`; a plain `${` is `$${`"


class Interpolator:
    """Replaces references to environment variables.

    Attributes:
        findings: What is wrong with the references so far.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.findings: list[Finding] = []

    def replace(self, node: Node) -> Node:
        """Give the tree with all references below a node replaced.

        Keys stay as they are, and so does what stands under ``x-`` keys: it counts where it is
        merged or aliased. The result of a replacement is not looked at again.
        """
        match node:
            case Scalar() if "$" in node.text and not node.broken:
                return self._scalar(node)
            case Items():
                items = tuple(self.replace(item) for item in node.items)
                return msgspec.structs.replace(node, items=items)
            case Block():
                entries = tuple(
                    Entry(entry.key, self.replace(entry.value), entry.span)
                    for entry in node.without_extensions()
                )
                return msgspec.structs.replace(node, entries=entries)
            case _:
                return node

    def _scalar(self, node: Scalar) -> Scalar:
        variables: list[str] = []
        values_of: list[str] = []

        def value(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            name, text, is_default = self._value(node, match)
            variables.append(name)
            if not is_default:
                values_of.append(name)
            return text

        try:
            text = _TOKEN.sub(value, node.text)
        except Refusal as refusal:
            self.findings.extend(refusal.findings)
            return msgspec.structs.replace(node, broken=True)
        return msgspec.structs.replace(
            node, text=text, variables=tuple(variables), values_of=tuple(values_of)
        )

    def _value(self, node: Scalar, match: re.Match[str]) -> tuple[str, str, bool]:
        """Give the variable, what stands for its reference, and whether that is its default."""
        reference = _REFERENCE.fullmatch(match[1])
        if not match[2] or not reference or "${" in match[1]:
            raise refuse(node, "a `${` that is no reference to a variable", expected=_FORMS)
        name, operator, rest = reference.groups()
        value = self._environ.get(name)
        if operator is None:
            if value is None:
                raise refuse(
                    node,
                    f"the environment variable {name} is not set",
                    suggestion=f"Set it, or give a default: `${{{name}:-default}}`.",
                )
            return name, value, False
        if value:
            return name, value, False
        if operator == ":-":
            return name, str(rest).replace("$$", "$"), True
        state = "not set" if value is None else "empty"
        raise refuse(
            node,
            f"the environment variable {name} is {state}",
            suggestion=str(rest).strip() or f"Set {name}.",
        )

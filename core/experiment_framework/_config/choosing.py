"""Options that name a backplane of their own, as those of one made of several do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from experiment_framework._config.blocks import Gathering, block_of
from experiment_framework._config.contradictions import place_checked
from experiment_framework._config.fields import OptionField
from experiment_framework._config.findings import Finding, Refusal
from experiment_framework._config.nodes import Block, Entry, Instance, Node
from experiment_framework._registry.chosen import BackplaneChoice, Chosen

if TYPE_CHECKING:
    from experiment_framework._config.backplane_section import BackplaneSection
    from experiment_framework._registry import Registry

__all__ = ["CHOICE_KEYS", "Choosing", "choosing", "gather_choice", "is_choice"]

CHOICE_KEYS: Final = ("type", "distribution", "options")


@attrs.frozen
class Choosing:
    """What is known while options are converted that name backplanes.

    Attributes:
        registry: Where these are looked up.
        secrets: The nodes among their options that hold secrets, as they are found.
    """

    registry: Registry
    secrets: list[Node] = attrs.field(factory=list)


_current: Final[ContextVar[Choosing | None]] = ContextVar("choosing", default=None)


@contextmanager
def choosing(registry: Registry) -> Iterator[Choosing]:
    """Look backplanes up here that are named by the options which are converted meanwhile."""
    known = Choosing(registry)
    token = _current.set(known)
    try:
        yield known
    finally:
        _current.reset(token)


def is_choice(annotation: Any) -> bool:
    """Whether it is a class of options that names a backplane."""
    return isinstance(annotation, type) and issubclass(annotation, BackplaneChoice)


def gather_choice(
    node: Node, options_class: type[Any], convert_field: Callable[[OptionField, Node], Any]
) -> Any:
    """Convert options that name a backplane, and that backplane's own.

    Raises:
        Refusal: With everything that is wrong.
    """
    block = block_of(node, options_class)
    section = _section(block) if block.get("type") is not None else None
    if section is not None and section.plugin is not None:
        block = _with_options(block, Chosen(section.plugin, section.options))
    findings = [] if section is None else list(section.findings)
    inner = dict.fromkeys(section.option_keys(), "options") if section is not None else None
    try:
        made = Gathering(block, options_class, convert_field, inner).finish()
    except Refusal as refusal:
        new = _new(refusal.findings, findings)
        raise Refusal([*findings, *new], refusal.partial) from None
    check: Callable[[], Iterator[Any]] = getattr(made, "check", lambda: iter(()))
    findings += [place_checked(problem, block, options_class) for problem in check()]
    if findings:
        raise Refusal(findings)
    return made


def _section(block: Block) -> BackplaneSection:
    from experiment_framework._config.backplane_section import BackplaneSection
    from experiment_framework._registry import default_registry

    known = _current.get() or Choosing(default_registry())
    own = tuple(entry for entry in block.entries if entry.key in CHOICE_KEYS)
    section = BackplaneSection(msgspec.structs.replace(block, entries=own), block, known.registry)
    known.secrets.extend(section.secrets())
    return section


def _with_options(block: Block, chosen: Chosen) -> Block:
    """Put the options that were made in the place of those that were written."""
    written = block.get("options")
    path = (*block.path, "options")
    span = None if written is None else written.span
    options = Entry("options", Instance(path=path, span=span, value=chosen))
    others = (entry for entry in block.entries if entry.key != "options")
    return msgspec.structs.replace(block, entries=(*others, options))


def _new(findings: Iterable[Finding], known: Iterable[Finding]) -> list[Finding]:
    """Leave out what was found already, about keys that are looked at twice."""
    places = {finding.problem.path for finding in known}
    return [each for each in findings if each.problem.path not in places]

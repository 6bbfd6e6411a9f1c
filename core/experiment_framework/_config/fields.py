"""What an options class declares, field by field."""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs

from experiment_framework._config.annotations import item_options, nested_options
from experiment_framework.errors import HookError
from experiment_framework.plugin.options import OptionMetadata, option_key

__all__ = ["OptionField", "option_fields"]


@attrs.frozen(kw_only=True)
class OptionField:
    """One option.

    Attributes:
        name: Its name in Python.
        key: Its name in YAML.
        type: Its annotation, resolved.
        metadata: What else was declared.
        attribute: The attrs field.
        nested: The options class of the block that it is, or may be.
        each: The options class of its values, where it is a mapping of such blocks.
    """

    name: str
    key: str
    type: Any
    metadata: OptionMetadata
    attribute: attrs.Attribute[Any]
    nested: type[Any] | None
    each: type[Any] | None

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.attribute.default is attrs.NOTHING

    def default(self) -> Any:
        """Make the default; `attrs.NOTHING` where there is none, or it depends on other fields."""
        default = self.attribute.default
        factory = getattr(default, "factory", None)
        if factory is None:
            return default
        return attrs.NOTHING if default.takes_self else factory()  # type: ignore[union-attr]  # attrs types a default as Any or None


_known: Final[WeakKeyDictionary[type[Any], tuple[OptionField, ...]]] = WeakKeyDictionary()


def option_fields(options_class: type[Any]) -> tuple[OptionField, ...]:
    """Give the fields of an options class, in the order of their declaration.

    Raises:
        HookError: An annotation is missing, or cannot be resolved.
    """
    if options_class not in _known:
        _known[options_class] = _resolved(options_class)
    return _known[options_class]


def _resolved(options_class: type[Any]) -> tuple[OptionField, ...]:
    try:
        attrs.resolve_types(options_class, include_extras=True)
    except NameError as error:
        name = options_class.__name__
        raise HookError(name, f"{name}: an annotation cannot be resolved: {error}") from error
    for attribute in attrs.fields(options_class):
        if attribute.type is None:
            name = f"{options_class.__name__}.{attribute.name}"
            raise HookError(name, f"{name} has no type: write `{attribute.name}: str = option(…)`")
    return tuple(
        OptionField(
            name=attribute.name,
            key=option_key(attribute),
            type=attribute.type,
            metadata=OptionMetadata.of(attribute),
            attribute=attribute,
            nested=nested_options(attribute.type),
            each=item_options(attribute.type),
        )
        for attribute in attrs.fields(options_class)
        if attribute.init
    )

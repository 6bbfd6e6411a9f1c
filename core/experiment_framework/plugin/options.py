"""How a plugin declares its options.

One declaration gives the checks, the JSON Schema that editors complete by, the option table of the
documentation and the defaults that ``experiment describe`` shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, dataclass_transform, get_args, get_origin, overload

import attrs

__all__ = ["OptionMetadata", "option", "option_key", "options", "options_argument"]

T = TypeVar("T")
_MISSING: Final[Any] = object()
_METADATA_KEY: Final = "experiment_framework"


@attrs.frozen(kw_only=True)
class OptionMetadata:
    """What is declared of an option besides its type and default.

    Attributes:
        help: One sentence for the option table, units included.
        secret: Whether the value is masked wherever it would be shown.
        separator: For a list: a scalar, and each item, is split at this string.
        key: The name in YAML, where it is not the field's name in camelCase.
    """

    help: str
    secret: bool = False
    separator: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, field: attrs.Attribute[Any]) -> OptionMetadata:
        """Give what was declared with `option`; nothing but an empty help for a plain field."""
        found = field.metadata.get(_METADATA_KEY)
        return found if isinstance(found, cls) else cls(help="")


@overload
def option(
    *,
    help: str,
    secret: bool = False,
    separator: str | None = None,
    key: str | None = None,
) -> Any: ...
@overload
def option(
    *,
    default: T,
    help: str,
    secret: bool = False,
    separator: str | None = None,
    key: str | None = None,
) -> T: ...
@overload
def option(
    *,
    factory: Callable[[], T],
    help: str,
    secret: bool = False,
    separator: str | None = None,
    key: str | None = None,
) -> T: ...
def option(
    *,
    default: Any = _MISSING,
    factory: Callable[[], Any] | None = None,
    help: str,  # noqa: A002  # it is what the option table calls it
    secret: bool = False,
    separator: str | None = None,
    key: str | None = None,
) -> Any:
    """Declare one option of an `options` class.

    Bounds and patterns belong to the annotation: ``Annotated[int, msgspec.Meta(ge=1, le=5)]``.

    Args:
        default: Its value where nothing is written; without one the option is required.
        factory: Makes the default, for lists and dicts.
        help: One sentence for the option table, units included.
        secret: Mask the value wherever a configuration is shown, logged or raised.
        separator: For a list: split a scalar, and each item, at this string.
        key: The name in YAML, where it is not the field's name in camelCase.
    """
    declared = OptionMetadata(help=help, secret=secret, separator=separator, key=key)
    shown = _repr_of_secret if secret else _repr_of_value
    metadata = {_METADATA_KEY: declared}
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata, repr=shown)
    if default is not _MISSING:
        return attrs.field(default=default, metadata=metadata, repr=shown)
    return attrs.field(metadata=metadata, repr=shown)


def option_key(field: attrs.Attribute[Any]) -> str:
    """Give the name of an option in YAML: the one declared, or the field's in camelCase."""
    head, *rest = field.name.split("_")
    return OptionMetadata.of(field).key or head + "".join(part.capitalize() for part in rest)


def options_argument(cls: type[Any], base: type[Any]) -> type[Any] | None:
    """Give the options class that a plugin class itself names: ``Backplane[MyOptions]``.

    Args:
        cls: The plugin class.
        base: What its author derives from.
    """
    # Only what this class itself names: an inherited `__orig_bases__` is an ancestor's, and
    # another generic base's argument is nobody's options.
    named = None
    for each in vars(cls).get("__orig_bases__", ()):
        origin = get_origin(each)
        if isinstance(origin, type) and issubclass(origin, base):
            for argument in get_args(each):
                if isinstance(argument, type):
                    named = argument
    return named


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
def options(cls: type[T]) -> type[T]:
    """Make a class of options: immutable, keyword-only, checked against its annotations.

    An instance is checked when it is made, in code as from a file, and takes the values in their
    declared types: ``brokers="a:9092,b:9092"`` is a list where a separator is declared.

    Raises:
        ConfigError: On construction, with everything that is wrong; paths are Python names.
    """
    inherited: Callable[[Any], None] | None = getattr(cls, "__attrs_post_init__", None)

    def __attrs_post_init__(self: Any) -> None:  # noqa: N807  # attrs calls it
        # A subclass checks all of its fields once, not again with each of its bases.
        if type(self).__attrs_post_init__ is __attrs_post_init__:
            # cattrs is needed by programs that have options, not by all that import plugins.
            from experiment_framework._config.instances import settle

            settle(self)
        if inherited is not None:
            inherited(self)

    cls.__attrs_post_init__ = __attrs_post_init__  # type: ignore[attr-defined]
    return attrs.frozen(kw_only=True)(cls)


def _repr_of_secret(value: object) -> str:
    return "None" if value is None else "'***'"


def _repr_of_value(value: object) -> str:
    from experiment_framework._config.secrets import repr_without_secrets

    return repr_without_secrets(value)

"""The DSL: from YAML, JSON or a mapping to checked options, or to every problem at once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from experiment_framework._config.documentation import OptionRow, option_rows
    from experiment_framework._config.effective import EffectiveValue
    from experiment_framework._config.json_schema import options_schema, schema
    from experiment_framework._config.loader import Config, load
    from experiment_framework._config.options_conversion import convert_options

__all__ = [
    "Config",
    "EffectiveValue",
    "OptionRow",
    "convert_options",
    "load",
    "option_rows",
    "options_schema",
    "schema",
]

_MODULES: Final = {
    "Config": "loader",
    "EffectiveValue": "effective",
    "OptionRow": "documentation",
    "convert_options": "options_conversion",
    "load": "loader",
    "option_rows": "documentation",
    "options_schema": "json_schema",
    "schema": "json_schema",
}


def __getattr__(name: str) -> Any:
    # A data plane that is built in code checks its options and needs nothing else of this.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

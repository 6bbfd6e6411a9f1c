"""The JSON Schema of a configuration file, for the plugins that are installed."""

from __future__ import annotations

from typing import Any

from experiment_framework._config import schema
from experiment_framework._registry import Registry
from experiment_framework._registry.inspection import inspect_all

__all__ = ["whole_schema"]


def whole_schema(registry: Registry) -> dict[str, Any]:
    """Make the schema; plugins that cannot be used are left out of it."""
    return schema(registry, plugin_schemas=inspect_all(registry))

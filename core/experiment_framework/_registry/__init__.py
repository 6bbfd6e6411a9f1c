"""Finds, checks and loads plugins."""

from experiment_framework._registry.hooks import Hooks, resolve
from experiment_framework._registry.plugin import BackplanePlugin
from experiment_framework._registry.registry import Registry, default_registry

__all__ = ["BackplanePlugin", "Hooks", "Registry", "default_registry", "resolve"]

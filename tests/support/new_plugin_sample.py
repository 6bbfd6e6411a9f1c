"""The plugin that the page about shipping a backplane writes, where nobody has installed it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from experiment_framework._cli.plugin_project import PluginName, project_files
from experiment_framework._registry import Registry


def add_new_plugin(registry: Registry, folder: Path) -> None:
    """Write the plugin's package into a folder and offer its backplane."""
    name = PluginName("lines")
    package = folder / name.package
    package.mkdir()
    for path, text in project_files(name).items():
        if path.startswith(f"{name.package}/"):
            (folder / path).write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        module = importlib.import_module(name.package)
    registry.register_backplane(name.type, getattr(module, f"{name.class_prefix}Backplane"))

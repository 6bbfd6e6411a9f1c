"""Looks at one plugin; runs in the process that `inspection` starts for it."""

from __future__ import annotations

import os
import sys

import msgspec

from experiment_framework._config import options_schema
from experiment_framework._registry.containment import contained
from experiment_framework._registry.inspection import Finding, Request
from experiment_framework._registry.registry import Registry
from experiment_framework.errors import PluginError

__all__ = ["answer", "look"]


def answer(request: str) -> None:
    """Look at the plugin that a JSON request names, write a JSON finding to stdout, and end.

    What the plugin prints goes to stderr, so that the answer is all there is on stdout. Ends the
    process at once: a thread that the plugin started does not keep it alive.
    """
    stdout = os.dup(1)
    os.dup2(2, 1)
    asked = msgspec.json.decode(request, type=Request)
    finding = look(Registry(), asked.kind, asked.name, asked.distribution)
    with os.fdopen(stdout, "wb") as file:
        file.write(msgspec.json.encode(finding))
    sys.stderr.flush()
    os._exit(0)


def look(registry: Registry, kind: str, name: str, distribution: str | None = None) -> Finding:
    """Load a plugin, check it and describe its options."""
    try:
        if kind == "backplane":
            options_class = registry.load_backplane(name, distribution).options_class
        elif kind == "encoder":
            options_class = registry.load_encoder(name, distribution).options_class
        else:
            options_class = registry.load_step(name, distribution).options_class
        with contained(kind, name, distribution, "when its options were described"):
            schema = options_schema(options_class)
    except PluginError as error:
        return Finding("broken", str(error))
    return Finding("loaded", options_schema=schema)

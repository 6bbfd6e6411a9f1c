"""The sample of a third party's backplane, where nobody has installed it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from experiment_framework._registry import Registry

SAMPLE = (
    Path(__file__).resolve().parents[2]
    / "samples"
    / "third_party_backplane"
    / "webhook_backplane.py"
)


def registry_with_webhook() -> Registry:
    """Give what is installed, and the sample."""
    spec = importlib.util.spec_from_file_location(SAMPLE.stem, SAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    registry = Registry()
    registry.register_backplane("webhook", module.WebhookBackplane)
    return registry

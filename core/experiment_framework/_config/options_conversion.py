"""Options of one class from a mapping, outside of a whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from experiment_framework._config.conversion import convert
from experiment_framework._config.findings import Refusal
from experiment_framework._config.nodes import from_python
from experiment_framework._config.secrets import Secrets
from experiment_framework._config.sensitive import declared, texts_below
from experiment_framework.errors import ConfigError

__all__ = ["convert_options"]

T = TypeVar("T")


def convert_options(options_class: type[T], mapping: Mapping[str, Any]) -> T:
    """Convert a mapping with the keys of YAML to options; nothing is interpolated.

    Raises:
        ConfigError: With every problem; paths start at the options.
    """
    node = from_python(mapping)
    try:
        options: T = convert(node, options_class)
    except Refusal as refusal:
        findings = refusal.findings
    else:
        return options
    hidden = list(declared(node, options_class))
    secrets = Secrets(
        (text for each in hidden for text in texts_below(each)), (each.path for each in hidden)
    )
    raise ConfigError([secrets.mask(finding.problem) for finding in findings])

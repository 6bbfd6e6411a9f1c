"""Options that are made in code: checked like those of a file."""

from __future__ import annotations

from typing import Any

from experiment_framework._config.conversion import convert_field
from experiment_framework._config.fields import option_fields
from experiment_framework._config.findings import Refusal
from experiment_framework._config.nodes import from_python
from experiment_framework._config.secrets import Secrets
from experiment_framework._problems import Problem
from experiment_framework.errors import ConfigError

__all__ = ["settle"]


def settle(instance: Any) -> None:
    """Check all values of new options and give them their declared types.

    Raises:
        ConfigError: With everything that is wrong; paths begin with the Python name of a field.
    """
    kind = type(instance)
    fields = option_fields(kind)
    problems: list[Problem] = []
    for field in fields:
        value = getattr(instance, field.name)
        if value is field.attribute.default:
            continue
        try:
            settled = convert_field(field, from_python(value, (field.name,)))
        except Refusal as refusal:
            problems.extend(finding.problem for finding in refusal.findings)
        else:
            object.__setattr__(instance, field.name, settled)
    if problems:
        secrets = Secrets(
            (str(getattr(instance, f.name)) for f in fields if f.metadata.secret),
            ((f.name,) for f in fields if f.metadata.secret),
        )
        masked = [secrets.mask(problem) for problem in problems]
        lines = "\n".join(f"  {problem}" for problem in masked)
        raise ConfigError(masked, f"{kind.__name__} cannot be made:\n{lines}") from None

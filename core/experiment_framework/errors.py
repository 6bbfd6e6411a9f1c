"""Every public error.

::

    ExperimentError                      exit code 1
    ├── ConfigError                      exit code 2   the configuration has problems
    ├── EventError                       exit code 2   an event is refused; names the field
    ├── DecodeError                      exit code 1   bytes that are no envelope of ours
    ├── EncodingError                    exit code 1   no form in the declared encoding
    ├── PluginError                      exit code 2   a plugin cannot be used
    │   ├── UnknownPluginError                         nothing installed has that name
    │   ├── DuplicatePluginError                       two distributions claim one name
    │   ├── BrokenPluginError                          it raised while it was loaded
    │   └── HookError                                  it does not follow the plugin API
    ├── SpoolError                       exit code 1   the spool's folder or disk cannot be used
    └── DeliveryError                    exit code 1   a backplane could not take or give records
        ├── QueueFullError                             no room now: core drops or waits
        ├── SpoolFullError                             the spool has reached its size limit
        ├── RecordTooLargeError                        this record can never be taken
        ├── UnsupportedError                           the backplane has no such ability
        └── BatchFailure                               records that a batch could not have written:
            ├── Retryable                              they may be written later
            ├── Permanent                              they can never be
            └── BatchTooLarge                          fewer at once may be

``BatchFailure`` and what is below it are in `experiment_framework.plugin`. Exit codes are those of
the ``experiment`` command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from experiment_framework._problems import Problem

__all__ = [
    "BrokenPluginError",
    "ConfigError",
    "DecodeError",
    "DeliveryError",
    "DuplicatePluginError",
    "EncodingError",
    "EventError",
    "ExperimentError",
    "HookError",
    "PluginError",
    "QueueFullError",
    "RecordTooLargeError",
    "SpoolError",
    "SpoolFullError",
    "UnknownPluginError",
    "UnsupportedError",
]


class ExperimentError(Exception):
    """Base of all errors that this library raises on purpose; the text is made for a person."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled as a call of its class with `args`: here that is the finished
        # text, not what the constructor takes. Worker processes send errors home this way.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[ExperimentError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> ExperimentError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


class ConfigError(ExperimentError):
    """A configuration has problems; all of them are in ``problems``.

    Attributes:
        problems: What is wrong, each with its path and, for a file, its location.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[Problem], rendering: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(rendering or "\n".join(str(problem) for problem in self.problems))


class EventError(ExperimentError, ValueError):
    """An event cannot be built or encoded.

    Attributes:
        event_type: The wire name of the event's type, such as ``Exposure``; empty where there is
            no event yet.
        field: The path of the field in Python names, such as ``attributes.cart.total``; empty where
            the event as a whole is wrong.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, event_type: str, field: str, message: str) -> None:
        self.event_type = event_type
        self.field = field
        where = ".".join(part for part in (event_type, field) if part)
        super().__init__(f"{where}: {message}")


class DecodeError(ExperimentError, ValueError):
    """Bytes are no envelope, or one of another major schema version."""


class EncodingError(ExperimentError):
    """A record cannot be written, or bytes cannot be read, in the declared encoding."""


class PluginError(ExperimentError):
    """A plugin cannot be used.

    Attributes:
        plugin: The name it was asked for by, such as ``kafka``.
        distribution: The distribution that offers it, where one is known.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, plugin: str, message: str, *, distribution: str | None = None) -> None:
        self.plugin = plugin
        self.distribution = distribution
        super().__init__(message)


class UnknownPluginError(PluginError):
    """Nothing that is installed or registered has this name."""


class DuplicatePluginError(PluginError):
    """Two distributions claim one name and nothing says which of them to use."""


class BrokenPluginError(PluginError):
    """A plugin raised while it was loaded; the cause is chained."""


class HookError(PluginError):
    """A plugin does not follow the plugin API: a misspelt hook, a wrong argument."""


class SpoolError(ExperimentError):
    """The spool's folder or its disk cannot be used.

    Attributes:
        directory: The folder that was declared.
        problem: What is wrong.
        advice: What to do about it.
    """

    def __init__(self, directory: Path, problem: str, advice: str) -> None:
        self.directory = directory
        self.problem = problem
        self.advice = advice
        super().__init__(f"spool {directory}: {problem}; {advice}")


class DeliveryError(ExperimentError):
    """A backplane could not take, write or read records."""


class QueueFullError(DeliveryError):
    """There is no room for a record now; there may be later."""


class SpoolFullError(DeliveryError):
    """The spool has reached its size limit and declines new records.

    Attributes:
        size: What the spool holds now, in bytes.
        limit: What it may hold, in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"the spool holds {size} bytes, the limit is {limit}")


class RecordTooLargeError(DeliveryError):
    """A record is larger than the backplane can ever take.

    Attributes:
        size: The record's size in bytes.
        limit: The largest size in bytes that would be taken.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"the record has {size} bytes, the limit is {limit}")


class UnsupportedError(DeliveryError):
    """The backplane has no such ability, for example reading its records back."""

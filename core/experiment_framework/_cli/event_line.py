"""An event on one line, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from experiment_framework._cli.terminal import clean
from experiment_framework.events import AnalysisSignal, Assignment, ErrorEvent, Exposure, Outcome

if TYPE_CHECKING:
    from experiment_framework.envelope import Envelope

__all__ = ["event_line"]

_STYLES: Final = {
    "Exposure": "cyan",
    "Assignment": "blue",
    "Outcome": "green",
    "AnalysisSignal": "magenta",
    "Error": "red",
}
_WIDTHS: Final = (18, 12, 12)
"""Of experiment, variant and subject; longer ones push the rest to the right."""

_TYPE_WIDTH: Final = max(len(name) for name in _STYLES)


def event_line(envelope: Envelope, place: str) -> Text:
    """Write when, what, of which experiment and variant, about whom, and where it is stored."""
    event = envelope.payload
    moment = envelope.timestamp if isinstance(event, dict) else event.timestamp
    line = Text(f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}Z  ", style="dim")
    style = _STYLES.get(envelope.event_type, "")
    line.append(clean(envelope.event_type).ljust(_TYPE_WIDTH) + "  ", style=f"not dim {style}")
    cells = zip(_parts(envelope), (*_WIDTHS, 0), strict=True)
    text = "  ".join(clean(part or "-").ljust(width) for part, width in cells if part or width)
    return line.append(f"{text}  ", style="not dim").append(clean(place))


def _parts(envelope: Envelope) -> tuple[str | None, str | None, str | None, str]:
    """Give the experiment, the variant, the subject, and what else there is to say."""
    match envelope.payload:
        case Exposure() as event:
            note = "again" if event.is_repeat_exposure else ""
            return event.experiment_name, event.variant_key, event.subject_id, note
        case Assignment() as event:
            before = event.previous_variant_key
            note = f"from {before}, {event.change_reason}" if before else event.change_reason
            return event.experiment_name, event.new_variant_key, event.subject_id, note
        case Outcome() as event:
            note = f"{event.metric_name}={event.value:g}"
            return event.experiment_name, event.variant_key, event.subject_id, note
        case AnalysisSignal() as event:
            note = f"{event.severity} {event.signal_type}: {event.message}"
            return event.experiment_name, None, None, note
        case ErrorEvent() as event:
            note = f"{event.error_type}: {event.message}"
            return event.experiment_name, event.variant_key, event.subject_id, note
    return None, None, None, f"schema version {envelope.schema_version}"

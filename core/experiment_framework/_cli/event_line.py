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
_TYPE_WIDTH: Final = max(len(name) for name in _STYLES)


def event_line(envelope: Envelope, place: str) -> Text:
    """Write when, what, of which experiment and variant, about whom, and where it is stored."""
    event = envelope.payload
    moment = envelope.timestamp if isinstance(event, dict) else event.timestamp
    line = Text(f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}Z ", style="dim")
    style = _STYLES.get(envelope.event_type, "")
    line.append(clean(envelope.event_type).ljust(_TYPE_WIDTH) + " ", style=f"not dim {style}")
    for part in _parts(envelope):
        line.append(f" {clean(part)}", style="not dim")
    return line.append(f"  {clean(place)}")


def _parts(envelope: Envelope) -> list[str]:
    match envelope.payload:
        case Exposure() as event:
            repeat = ["(again)"] if event.is_repeat_exposure else []
            return [event.experiment_name, event.variant_key, event.subject_id, *repeat]
        case Assignment() as event:
            move = f"{event.previous_variant_key or '-'} → {event.new_variant_key}"
            return [event.experiment_name, move, event.subject_id, f"({event.change_reason})"]
        case Outcome() as event:
            value = f"{event.metric_name}={event.value:g}"
            return [event.experiment_name, event.variant_key or "-", event.subject_id, value]
        case AnalysisSignal() as event:
            what = f"{event.severity} {event.signal_type}:"
            return [event.experiment_name, what, event.message]
        case ErrorEvent() as event:
            who = [event.experiment_name, event.variant_key, event.subject_id]
            return [*(part or "-" for part in who), f"{event.error_type}:", event.message]
    return [f"(schema {envelope.schema_version})"]

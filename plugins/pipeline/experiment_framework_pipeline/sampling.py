"""Leaving out a fixed share of the subjects, the same in every process."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, ClassVar, Final

import msgspec
from experiment_framework.plugin import Envelope, Phase, SampledOut, Step, option, options
from msgspec import Meta

__all__ = ["Sampling", "SamplingOptions"]

_SAMPLED_OUT: Final = SampledOut("sampling")
_RATE_KEY: Final = "samplingRate"


@options
class SamplingOptions:
    """Options of the sampling of subjects."""

    sampling_rate: Annotated[float, Meta(ge=0, le=1)] = option(
        default=1.0,
        help="Share of the subjects whose events are published, from 0 (none) to 1 (all). A "
        "subject is in with all of its events or with none; events without a subject are "
        "always in.",
    )
    sampling_salt: str = option(
        default="",
        help="Text that the choice of the subjects depends on besides their ids: another salt "
        "chooses others. Has no effect while samplingRate is 1.",
    )


class Sampling(Step[SamplingOptions]):
    """Decides by a hash of the subject, never by the event, and notes the rate in the metadata.

    A subject's share of the hash's range is compared with the rate, so that who is in at one rate
    is in at every higher one. ``metadata.samplingRate`` lets counts be weighted back: each event
    that has it stands for ``1 / samplingRate`` events. An event without a subject is never left
    out, so it stands for itself and gets no rate.
    """

    phase: ClassVar[Phase] = Phase.DECIDE

    def __init__(self, options: SamplingOptions) -> None:
        super().__init__(options)
        self._rate = float(options.sampling_rate)
        # Exact: a float times a power of two is one, and a hash is a whole number.
        self._threshold = math.ceil(math.ldexp(self._rate, 64))
        self._salted = hashlib.sha256(_framed(options.sampling_salt))

    def is_active(self) -> bool:
        """Whether any subject is left out."""
        return self._rate < 1

    def apply(self, envelope: Envelope) -> Envelope | SampledOut:
        """Leave the envelope out, or give it back with the rate in its metadata."""
        subject_id = _subject_id(envelope)
        if subject_id is None:
            return envelope
        if self._position(subject_id) >= self._threshold:
            return _SAMPLED_OUT
        return msgspec.structs.replace(envelope, metadata=self._stamped(envelope))

    def _position(self, subject_id: str) -> int:
        """Place a subject in the range from 0 to 2**64, excluded."""
        digest = self._salted.copy()
        digest.update(_framed(subject_id))
        return int.from_bytes(digest.digest()[:8], "big")

    def _stamped(self, envelope: Envelope) -> dict[str, object]:
        """Note the rate; of an event that was sampled before, the smaller one.

        Both decisions hash the same subject, so whoever passes the smaller rate passes the other.
        """
        earlier = envelope.metadata.get(_RATE_KEY)
        rate = self._rate
        if isinstance(earlier, int | float) and 0 < earlier < rate:
            rate = float(earlier)
        return {**envelope.metadata, _RATE_KEY: rate}


def _framed(text: str) -> bytes:
    # A lone surrogate is refused when the event is encoded, with the name of its field.
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data


def _subject_id(envelope: Envelope) -> str | None:
    payload = envelope.payload
    if isinstance(payload, dict):  # of a newer schema version
        found = payload.get("subjectId")
        return found if isinstance(found, str) else None
    return getattr(payload, "subject_id", None)

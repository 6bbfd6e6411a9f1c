"""What `api_1_0` leaves out of version 1.0 of the plugin API. Never to be changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from experiment_framework import Stats
from experiment_framework.plugin import (
    Backplane,
    Encoded,
    Encoder,
    EncodingError,
    Envelope,
    Health,
    Permanent,
    Phase,
    Problem,
    Query,
    Record,
    Step,
    Stored,
    at_hand,
    option,
    options,
)


@options
class MarkedOptions:
    mark: str = option(default="#", help="What goes before each record.")


class Marked(Encoder[MarkedOptions]):
    api_version = "1.0"

    def check(self) -> Iterable[Problem]:
        if not self.options.mark:
            yield Problem(message="a mark is needed", path=("mark",), found="")

    def open(self, destinations: Mapping[str, str]) -> None:
        self.destinations = dict(destinations)

    def encode(self, record: Record, destination: str) -> Encoded:
        if record.subject_id == "never":
            raise EncodingError("it has no form")
        return Encoded(self.options.mark.encode() + record.body, (("to", destination),))

    def decode(self, body: bytes) -> bytes:
        return body.removeprefix(self.options.mark.encode())

    def health(self) -> Health:
        return Health(details={"destinations": self.destinations})

    def close(self, timeout: float) -> None:
        self.destinations = {}

    def after_fork(self) -> None:
        self.destinations = dict(self.destinations)


class Noting(Step[None]):
    phase = Phase.ENRICH

    def apply(self, envelope: Envelope) -> Envelope:
        return msgspec.structs.replace(envelope, metadata={**envelope.metadata, "noted": "frozen"})


@options
class RestOptions:
    path: str = option(help="File that is appended to.")


class Rest(Backplane[RestOptions]):
    api_version = "1.0"

    def encode_with(self, encoder: Encoder[Any]) -> None:
        self._encoder = encoder

    def open(self) -> None:
        self._encoder.open({"Exposure": "everything"})
        self._count = 0

    def steps(self) -> Iterable[Step[Any]]:
        return [Noting(None)]

    def write_batch(self, records: Sequence[Record]) -> None:
        never = []
        with open(self.options.path, "ab") as file:
            for record in records:
                try:
                    encoded = self._encoder.encode(record, "everything")
                except EncodingError:
                    never.append(record)
                    continue
                assert dict(encoded.headers) == {"to": "everything"}
                file.write(encoded.body + b"\n")
                self._count += 1
        if never:
            raise Permanent("it cannot be encoded", never)

    def dead_letter(self, record: Record, reason: str) -> bool:
        with open(f"{self.options.path}.dead", "a") as file:
            file.write(f"{record.subject_id}: {reason}\n")
        return True

    @at_hand
    def health(self) -> Health:
        return self._encoder.health()

    def members(self) -> Mapping[str, Stats]:
        one = Stats(
            offered=self._count,
            recovered=0,
            refused=0,
            disabled=0,
            sampled_out=0,
            dropped={},
            failed=0,
            delivered=self._count,
            pending=0,
            spooled=0,
        )
        return {"one": one}

    def provision_script(self) -> str:
        return "CREATE TABLE frozen ();"

    def read(self, query: Query) -> Iterator[Stored]:
        after = -1 if query.after is None else int(query.after.get("file", -1))
        with open(self.options.path, "rb") as file:
            for number, line in enumerate(file):
                body = self._encoder.decode(line.rstrip())
                if number > after and query.matches(Record.from_body(body)):
                    yield Stored(body=body, place=f"line {number}", position=("file", str(number)))

"""How a data plane looks after the encoder of its backplane."""

from __future__ import annotations

from typing import Any

import pytest
from experiment_framework import ConfigError, DataPlane, Exposure
from experiment_framework.plugin import (
    Backplane,
    Encoded,
    Encoder,
    Health,
    QueueFullError,
    Record,
    options,
)

EXPOSURE = Exposure(experiment_name="checkout", variant_key="green", subject_id="user-1")


@options
class Options:
    """None."""


class Marked(Encoder[Options]):
    def __init__(self) -> None:
        super().__init__(Options())
        self.calls: list[str] = []
        self.is_ready = True
        self.answer = Health()

    def open(self, destinations: Any) -> None:
        self.calls.append("open")

    def encode(self, record: Record, destination: str) -> Encoded:
        if not self.is_ready:
            raise QueueFullError("not yet")
        return Encoded(b"#" + record.body, (("mark", destination),))

    def decode(self, body: bytes) -> bytes:
        return body[1:]

    def health(self) -> Health:
        if self.answer.status == "UNHEALTHY" and not self.answer.reasons:
            raise RuntimeError("no idea")
        return self.answer

    def close(self, timeout: float) -> None:
        self.calls.append("close")

    def after_fork(self) -> None:
        self.calls.append("after_fork")


class Wire(Backplane[Options]):
    """Keeps what goes over the wire."""

    def __init__(self) -> None:
        super().__init__(Options())
        self.sent: list[Encoded] = []
        self._encoder: Encoder[Any] | None = None

    def encode_with(self, encoder: Encoder[Any]) -> None:
        self._encoder = encoder

    def open(self) -> None:
        if self._encoder is not None:
            self._encoder.open({"Exposure": "here"})

    def publish(self, record: Record) -> None:
        encoder = self._encoder
        self.sent.append(
            Encoded(record.body) if encoder is None else encoder.encode(record, "here")
        )

    def outstanding(self) -> int:
        return 0


class JsonOnly(Backplane[Options]):
    def __init__(self) -> None:
        super().__init__(Options())

    def publish(self, record: Record) -> None: ...


def test_the_backplane_gets_the_encoder_before_it_is_opened() -> None:
    wire, encoder = Wire(), Marked()
    with DataPlane(wire, encoder=encoder) as plane:
        plane.publish(EXPOSURE)
    (sent,) = wire.sent
    assert sent.body.startswith(b"#{")
    assert sent.headers == (("mark", "here"),)
    assert encoder.calls == ["open", "close"]


def test_without_an_encoder_the_body_of_the_record_is_sent() -> None:
    wire = Wire()
    with DataPlane(wire) as plane:
        plane.publish(EXPOSURE)
    assert wire.sent[0].body.startswith(b"{")


def test_a_backplane_that_writes_json_only_is_refused() -> None:
    with pytest.raises(ConfigError, match="JsonOnly writes JSON only"):
        DataPlane(JsonOnly(), encoder=Marked())


def test_an_encoder_that_is_not_ready_leaves_no_room() -> None:
    encoder = Marked()
    with DataPlane(Wire(), encoder=encoder) as plane:
        encoder.is_ready = False
        assert plane.publish(EXPOSURE).reason == "queue_full"
        encoder.is_ready = True
        assert plane.publish(EXPOSURE).status == "accepted"


def test_health_joins_what_the_encoder_says() -> None:
    encoder = Marked()
    with DataPlane(Wire(), encoder=encoder) as plane:
        encoder.answer = Health.judge(degraded=("slow",), details={"schemas": 3})
        health = plane.health()
        assert health.status == "DEGRADED"
        assert health.reasons == ("slow",)
        assert health.details["schemas"] == 3
        encoder.answer = Health(status="UNHEALTHY")
        assert "the encoder cannot say" in str(plane.health().reasons)


def test_an_encoder_that_raises_at_close_takes_nothing_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Raising(Marked):
        def close(self, timeout: float) -> None:
            raise RuntimeError("stuck")

    plane = DataPlane(Wire(), encoder=Raising())
    plane.publish(EXPOSURE)
    assert plane.close().delivered == 1
    assert "the encoder failed to close" in caplog.text


def test_a_forked_process_starts_with_a_clean_encoder() -> None:
    encoder = Marked()
    with DataPlane(Wire(), encoder=encoder) as plane:
        plane._after_fork()
        assert encoder.calls == ["open", "after_fork"]

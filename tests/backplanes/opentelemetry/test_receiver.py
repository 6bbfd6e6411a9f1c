from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from experiment_framework import DataPlane, DataPlaneOptions, ErrorEvent, Exposure, Outcome
from experiment_framework.dataplane_options import SpoolOptions
from experiment_framework.envelope import Record
from experiment_framework.plugin import BatchTooLarge, Permanent, Retryable
from experiment_framework_opentelemetry import OpenTelemetryBackplane
from opentelemetry import trace
from otlp_receiver import OtlpReceiver, partial_success, values
from waiting import wait_until

Sending = Callable[..., OpenTelemetryBackplane]


def test_each_event_is_one_span_named_by_its_type(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    written = [
        record(),
        record(
            Outcome(
                experiment_name="checkout",
                subject_id="user-1",
                metric_name="bought",
                outcome_type="Binary",
                value=1,
            )
        ),
    ]
    sending_to(service_name="shop", resource={"deployment": "blue"}).write_batch(written)

    assert [span.name for span in receiver.spans] == ["Exposure", "Outcome"]
    attributes = values(receiver.spans[0].attributes)
    assert attributes["experiment.name"] == "checkout"
    assert attributes["experiment.variant"] == "green"
    assert attributes["experiment.subject.id"] == "user-1"
    assert attributes["dataplane.event.id"] == written[0].event_id
    happened = int(written[0].timestamp.timestamp() * 1_000_000) * 1000
    assert receiver.spans[0].start_time_unix_nano == pytest.approx(happened, abs=1000)
    assert values(receiver.spans[1].attributes)["experiment.value"] == 1
    assert receiver.resources[0] == {"service.name": "shop", "deployment": "blue"}


def test_a_repetition_has_the_same_ids(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    uuid, own = record(), record(event_id="job-7")
    backplane = sending_to()
    backplane.write_batch([uuid, own])
    backplane.write_batch([uuid, own])

    ids = [(span.trace_id, span.span_id) for span in receiver.spans]
    assert ids[:2] == ids[2:]
    assert len({*ids}) == 2
    assert all(len(trace) == 16 and any(trace) and len(span) == 8 for trace, span in ids)


def test_an_exposure_is_the_evaluation_of_a_feature_flag_in_logs(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    sending_to("logs").write_batch(
        [record(), record(ErrorEvent(error_type="KeyError", message="no such variant"))]
    )

    evaluation, error = receiver.logs
    assert evaluation.event_name == "feature_flag.evaluation"
    attributes = values(evaluation.attributes)
    assert attributes["feature_flag.key"] == "checkout"
    assert attributes["feature_flag.result.variant"] == "green"
    assert attributes["feature_flag.result.reason"] == "unknown"
    assert attributes["feature_flag.context.id"] == "user-1"
    assert attributes["feature_flag.provider.name"] == "experiment-framework"
    assert error.event_name == "experiment.error"
    assert error.severity_number == 17
    assert values(error.attributes)["experiment.message"] == "no such variant"


def test_both_signals_are_one_delivery(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    sending_to("spans", "logs").write_batch([record()])
    assert (len(receiver.spans), len(receiver.logs)) == (1, 1)


def test_headers_and_compression_reach_the_receiver(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    sending_to(headers={"Api-Key": "canary"}, compression="gzip").write_batch([record()])
    assert receiver.headers[0]["api-key"] == "canary"
    assert receiver.headers[0]["content-encoding"] == "gzip"
    assert len(receiver.spans) == 1


def test_a_connection_is_used_again(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    backplane = sending_to()
    for _ in range(3):
        backplane.write_batch([record()])
    assert len(receiver.peers) == 1


def test_the_rest_of_a_long_answer_is_not_taken_for_the_next_one(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    backplane = sending_to()
    receiver.answer = lambda items: (500, b"x" * 200_000)
    with pytest.raises(Retryable, match="500"):
        backplane.write_batch([record()])
    receiver.answer = lambda items: None
    backplane.write_batch([record()])
    assert len(receiver.spans) == 1


@pytest.mark.parametrize("status", [500, 503, 401, 404])
def test_what_may_be_repaired_is_tried_again(
    status: int, receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    receiver.answer = lambda items: (status, b"not now")
    backplane = sending_to()
    with pytest.raises(Retryable, match=f"answered {status}.*: not now"):
        backplane.write_batch([record()])
    assert backplane.health().status == "UNHEALTHY"
    receiver.answer = lambda items: None
    backplane.write_batch([record()])
    assert backplane.health().is_healthy


@pytest.mark.parametrize("status", [400, 413])
def test_what_the_receiver_cannot_read_is_tried_in_halves(
    status: int, receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    receiver.answer = lambda items: (status, b"") if items else None
    backplane = sending_to()
    with pytest.raises(BatchTooLarge, match=str(status)):
        backplane.write_batch([record(), record()])
    assert f"answered {status}" in str(backplane.health().reasons)
    receiver.answer = lambda items: None
    backplane.write_batch([record()])
    assert backplane.health().is_healthy


def test_health_asks_a_receiver_that_is_away_no_more_than_once_a_second(
    receiver: OtlpReceiver, sending_to: Sending
) -> None:
    receiver.answer = lambda items: (503, b"away")
    backplane = sending_to()
    wait_until(lambda: backplane.health().status == "UNHEALTHY", timeout=10, what="an answer")
    for _ in range(200):
        backplane.health()
    assert len(receiver.headers) <= 2


def test_one_event_that_the_receiver_minds_does_not_take_the_others_with_it(
    receiver: OtlpReceiver, sending_to: Sending, exposure: Callable[..., Exposure]
) -> None:
    def minds(items: list[Any]) -> tuple[int, bytes] | None:
        bad = any(values(i.attributes)["experiment.subject.id"] == "user-5" for i in items)
        return (400, b"malformed") if bad else None

    receiver.answer = minds
    with DataPlane(sending_to(), DataPlaneOptions(batch_size=16)) as plane:
        for number in range(16):
            plane.publish(exposure(f"user-{number}"))
        result = plane.flush(10)
    assert (result.delivered, result.failed) == (15, 1)
    assert len(receiver.spans) == 15


def test_a_part_that_was_rejected_is_no_delivery(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    receiver.answer = lambda items: partial_success(2, "too old")
    with pytest.raises(Permanent, match=r"rejected 2 of the spans.*too old"):
        sending_to().write_batch([record(), record(), record()])


def test_a_warning_is_a_delivery_and_shows_in_health(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    receiver.answer = lambda items: partial_success(0, "use the newer endpoint")
    backplane = sending_to()
    backplane.write_batch([record()])
    health = backplane.health()
    assert health.is_healthy
    assert health.details["receiverWarning"] == "use the newer endpoint"


def test_another_server_is_no_receiver(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    receiver.answer = lambda items: (200, b"<html>hello</html>")
    with pytest.raises(Retryable, match="no OTLP receiver"):
        sending_to().write_batch([record()])


def test_a_receiver_that_is_away_is_said_plainly(
    sending_to: Sending, record: Callable[..., Record]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        backplane = sending_to(endpoint=endpoint)
        with pytest.raises(Retryable, match=r"cannot be reached.*refused"):
            backplane.write_batch([record()])
        assert "refused" in str(backplane.health().reasons)


def test_a_receiver_that_answers_too_late_has_not_answered(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    over = threading.Event()
    receiver.answer = lambda items: over.wait(20) and None
    began = time.monotonic()
    try:
        with pytest.raises(Retryable, match=r"[Rr]ead timed out"):
            sending_to(timeout_ms=200).write_batch([record()])
        assert time.monotonic() - began < 5
    finally:
        over.set()


def test_close_keeps_its_deadline_while_the_receiver_is_stalled(
    receiver: OtlpReceiver, sending_to: Sending, exposure: Callable[..., Exposure]
) -> None:
    over = threading.Event()
    receiver.answer = lambda items: over.wait(30) and None
    plane = DataPlane(sending_to(timeout_ms=30_000))
    plane.publish(exposure())
    began = time.monotonic()
    try:
        assert plane.flush(0.3).pending == 1
        result = plane.close(0.3)
        assert time.monotonic() - began < 5
        assert (result.delivered, result.failed) == (0, 1)
    finally:
        over.set()


def test_the_parent_is_known_of_an_event_that_waited_on_disk(
    receiver: OtlpReceiver,
    sending_to: Sending,
    spans: object,
    exposure: Callable[..., Exposure],
    tmp_path: Path,
) -> None:
    receiver.answer = lambda items: (503, b"away")
    options = DataPlaneOptions(
        flush_interval_ms=10, spool=SpoolOptions(directory=tmp_path / "spool")
    )
    with DataPlane(sending_to(), options) as plane:
        with trace.get_tracer("application").start_as_current_span("request") as request:
            plane.publish(exposure())
        wait_until(lambda: plane.stats().spooled == 1, timeout=20, what="it waits on disk")
        receiver.answer = lambda items: None
        assert plane.flush(20).delivered == 1
    (span,) = receiver.spans
    parent = request.get_span_context()
    assert span.parent_span_id == parent.span_id.to_bytes(8, "big")
    assert span.trace_id == parent.trace_id.to_bytes(16, "big")


def test_health_asks_a_receiver_that_nobody_has_sent_anything_yet(
    receiver: OtlpReceiver, sending_to: Sending
) -> None:
    may_answer = threading.Event()
    receiver.answer = lambda items: may_answer.wait(20) and None
    backplane = sending_to()
    assert backplane.health().status == "DEGRADED"
    may_answer.set()
    wait_until(lambda: backplane.health().is_healthy, timeout=10, what="an answer")
    assert receiver.spans == []


def test_health_finds_out_that_the_receiver_is_away(
    receiver: OtlpReceiver, sending_to: Sending
) -> None:
    receiver.answer = lambda items: (503, b"overloaded")
    backplane = sending_to()
    wait_until(lambda: backplane.health().status == "UNHEALTHY", timeout=10, what="an answer")
    assert "overloaded" in str(backplane.health().reasons)


def test_secrets_are_in_no_message(
    receiver: OtlpReceiver, sending_to: Sending, record: Callable[..., Record]
) -> None:
    receiver.answer = lambda items: (401, b"who are you?")
    endpoint = receiver.endpoint.replace("http://", "http://me:canary-secret@")
    backplane = sending_to(headers={"api-key": "canary-secret"}, endpoint=endpoint)
    with pytest.raises(Retryable) as caught:
        backplane.write_batch([record()])
    assert "canary-secret" not in f"{caught.value} {backplane.health()} {backplane.options}"


def test_requests_are_not_traced_themselves(
    receiver: OtlpReceiver,
    sending_to: Sending,
    record: Callable[..., Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from opentelemetry import context

    seen: list[object] = []
    request = urllib3.PoolManager.request

    def looking(self: urllib3.PoolManager, *args: Any, **kwargs: Any) -> Any:
        seen.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY))
        return request(self, *args, **kwargs)

    monkeypatch.setattr(urllib3.PoolManager, "request", looking)
    sending_to().write_batch([record()])
    assert seen == [True]

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from experiment_framework.envelope import Record
from experiment_framework.plugin import BatchTooLarge, Permanent, Retryable
from experiment_framework_opentelemetry import OpenTelemetryBackplane
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


class TraceService:
    """A real gRPC server with the one method that a receiver of spans has."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self.failure: tuple[grpc.StatusCode, str] | None = None
        self.rejected = 0
        self.server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler(SERVICE, {"Export": handler})
        self.server.add_generic_rpc_handlers((handlers,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def _export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.metadata.append(dict(context.invocation_metadata()))
        if self.failure is not None:
            context.abort(*self.failure)
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = self.rejected
        self.names += [
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return answer


@pytest.fixture
def service() -> Iterator[TraceService]:
    service = TraceService()
    service.server.start()
    yield service
    service.server.stop(None).wait(10)


@pytest.fixture
def backplane(
    service: TraceService, sending_to: Callable[..., OpenTelemetryBackplane]
) -> OpenTelemetryBackplane:
    return sending_to(
        endpoint=f"http://127.0.0.1:{service.port}",
        protocol="grpc",
        headers={"Api-Key": "canary"},
        compression="gzip",
    )


def test_spans_arrive_with_the_headers(
    service: TraceService, backplane: OpenTelemetryBackplane, record: Callable[..., Record]
) -> None:
    backplane.write_batch([record(), record()])
    assert service.names == ["Exposure", "Exposure"]
    assert service.metadata[0]["api-key"] == "canary"
    assert backplane.health().is_healthy


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "later", Retryable),
        (grpc.StatusCode.UNAUTHENTICATED, "who?", Retryable),
        (grpc.StatusCode.INVALID_ARGUMENT, "malformed", BatchTooLarge),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "received message larger than max", BatchTooLarge),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", Retryable),
    ],
)
def test_a_status_says_what_may_be_done(
    code: grpc.StatusCode,
    details: str,
    expected: type[Exception],
    service: TraceService,
    backplane: OpenTelemetryBackplane,
    record: Callable[..., Record],
) -> None:
    service.failure = (code, details)
    with pytest.raises(expected, match=f"{code.name}: {details}"):
        backplane.write_batch([record()])


def test_a_part_that_was_rejected_is_no_delivery(
    service: TraceService, backplane: OpenTelemetryBackplane, record: Callable[..., Record]
) -> None:
    service.rejected = 1
    with pytest.raises(Permanent, match="rejected 1 of the spans"):
        backplane.write_batch([record()])


def test_a_receiver_that_is_away_is_said_plainly(
    service: TraceService, backplane: OpenTelemetryBackplane, record: Callable[..., Record]
) -> None:
    service.server.stop(None).wait(10)
    with pytest.raises(Retryable, match="UNAVAILABLE"):
        backplane.write_batch([record()])

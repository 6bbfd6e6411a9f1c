"""A real OTLP receiver in this process: HTTP, protobuf, and whatever answer a test wants."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Answer = tuple[int, bytes]


class OtlpReceiver:
    """Keeps what it accepted.

    Attributes:
        spans: All spans that were accepted.
        logs: All log records that were accepted.
        headers: Those of each request, lower case.
        resources: The attributes of each resource.
        peers: The other end of each connection.
        answer: Decides what a request is answered, by its spans or log records.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.logs: list[LogRecord] = []
        self.headers: list[Mapping[str, str]] = []
        self.resources: list[Mapping[str, Any]] = []
        self.peers: set[object] = set()
        self.answer: Callable[[list[Any]], Answer | None] = lambda items: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def listening(self) -> Iterator[OtlpReceiver]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(10)

    def take(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        items: list[Any]
        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            items = [s for r in traces.resource_spans for c in r.scope_spans for s in c.spans]
            resources = [each.resource for each in traces.resource_spans]
            kept, good = self.spans, ExportTraceServiceResponse()
        elif path == "/v1/logs":
            logs = ExportLogsServiceRequest.FromString(body)
            items = [s for r in logs.resource_logs for c in r.scope_logs for s in c.log_records]
            resources = [each.resource for each in logs.resource_logs]
            kept, good = self.logs, ExportLogsServiceResponse()
        else:
            return 404, b"no such path"
        self.headers.append(headers)
        status, answer = self.answer(items) or (200, good.SerializeToString())
        if status == 200:
            kept.extend(items)
            self.resources += [values(resource.attributes) for resource in resources]
        return status, answer


def values(attributes: Any) -> dict[str, Any]:
    """Give attributes as a dict."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def partial_success(rejected: int, message: str) -> Answer:
    """Answer that some spans were not taken."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    return 200, answer.SerializeToString()


def _handler(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.peers.add(self.client_address)
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = receiver.take(self.path, body, headers)
            try:
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                return  # who asked has not waited for it

        def log_message(self, *_: object) -> None:
            return

    return Handler

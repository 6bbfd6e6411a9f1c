"""A stand-in for Confluent Schema Registry in this process.

It speaks as much of the registry's HTTP protocol as confluent-kafka's client asks for here:
register, look up, and give a schema by its id. It is no registry: it keeps nothing, checks no
compatibility, and parses no schema.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Answer = tuple[int, Any]


class SchemaRegistry:
    """Knows schemas by subject and by id.

    Attributes:
        subjects: The schemas of each subject, with their ids.
        requests: The method and path of each request.
        answer: Answers in place of the registry where it gives something.
        log_in: ``user:password`` that is asked for.
    """

    def __init__(self, port: int = 0) -> None:
        self.subjects: dict[str, dict[str, int]] = {}
        self.requests: list[str] = []
        self.answer: Callable[[str], Answer | None] = lambda path: None
        self.log_in: str | None = None
        self._ids: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def listening(self) -> Iterator[SchemaRegistry]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(10)

    def respond(self, method: str, target: str, body: bytes, authorization: str) -> Answer:
        self.requests.append(f"{method} {target}")
        if self.log_in is not None:
            expected = "Basic " + base64.b64encode(self.log_in.encode()).decode()
            if authorization != expected:
                return 401, {"error_code": 401, "message": "Unauthorized"}
        return self.answer(target) or self._found(method, target, body)

    def _found(self, method: str, target: str, body: bytes) -> Answer:
        parts = [unquote(part) for part in urlsplit(target).path.strip("/").split("/")]
        match (method, *parts):
            case ("POST", "subjects", subject, "versions"):
                return 200, {"id": self._register(subject, json.loads(body)["schema"])}
            case ("POST", "subjects", subject):
                schema = json.loads(body)["schema"]
                found = self.subjects.get(subject, {}).get(schema)
                if found is None:
                    return 404, {"error_code": 40403, "message": "Schema not found"}
                return 200, {"subject": subject, "id": found, "version": 1, "schema": schema}
            case ("GET", "schemas", "ids", number):
                schemas = {str(found): schema for schema, found in self._ids.items()}
                return 200, {"schema": schemas[number], "schemaType": "JSON"}
        return 404, {"error_code": 404, "message": f"no such resource: {target}"}

    def _register(self, subject: str, schema: str) -> int:
        found = self._ids.setdefault(schema, len(self._ids) + 1)
        self.subjects.setdefault(subject, {})[schema] = found
        return found


def _handler(registry: SchemaRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._respond()

        def do_GET(self) -> None:
            self._respond()

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, answer = registry.respond(
                self.command, self.path, body, self.headers.get("authorization", "")
            )
            encoded = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)
            except OSError:
                return  # who asked has not waited for it

        def log_message(self, *_: object) -> None:
            return

    return Handler

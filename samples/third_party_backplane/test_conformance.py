"""The webhook keeps what every backplane promises."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest
from webhook_backplane import WebhookBackplane


class Receiver:
    """Keeps what is posted to it; answers 503 while it is away."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.is_away = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not receiver.is_away:
                    receiver.events += body.splitlines()
                self.send_response(503 if receiver.is_away else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def set_away(self, is_away: bool) -> None:
        self.is_away = is_away


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.05,))
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


class TestWebhook(BackplaneConformance):
    @pytest.fixture
    def under_test(self, receiver: Receiver) -> BackplaneUnderTest:
        return BackplaneUnderTest(
            plugin=WebhookBackplane,
            options={"url": f"http://127.0.0.1:{receiver.server.server_port}/events"},
            arrived=lambda: receiver.events,
            take_away=lambda: receiver.set_away(True),
            bring_back=lambda: receiver.set_away(False),
        )

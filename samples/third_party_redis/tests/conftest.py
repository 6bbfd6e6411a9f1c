"""A Redis server of the tests' own."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnectionError


class Server:
    """A server that can be stopped for a while; it keeps what it has."""

    password = "canary-p4ssw0rd"

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        self._process = subprocess.Popen(
            [
                *("redis-server", "--port", str(port), "--requirepass", self.password),
                *("--save", "", "--dir", str(folder), "--logfile", "redis.log"),
            ]
        )
        self.client = Redis.from_url(self.url, password=self.password)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, "Redis did not start in 10 s"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except NoConnectionError:
            return False

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (on Debian: apt-get install redis-server)")
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.end()

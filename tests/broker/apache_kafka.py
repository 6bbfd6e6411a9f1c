"""A real Apache Kafka on this machine, for tests and measurements."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka_jars import KafkaUnavailableError, fetch_jars, find_java
from kafka_settings import (
    PASSWORD,
    SCRAM_MECHANISMS,
    USERNAME,
    Certificates,
    Ports,
    server_properties,
)

__all__ = ["ApacheKafka", "KafkaUnavailableError"]

START_SECONDS = 60.0
STOP_SECONDS = 20.0
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CLUSTER_ID = "test-cluster-000000000"

JVM_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
# Compiling less makes a short-lived tool start in half the time.
TOOL_OPTIONS = ("-XX:TieredStopAtLevel=1", "-Xshare:auto")


class ApacheKafka:
    """One node, broker and controller in one process (KRaft), with a data folder of its own.

    Topics are not created by themselves. Ports, data, certificates and accounts stay the same
    from one start to the next.

    Attributes:
        certificates: PEM files: the authority, and a client's certificate and key.
        username: An account of all SASL mechanisms (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512).
        password: Its password. OAUTHBEARER takes unsigned tokens, as Kafka does by default.
        log: Where the broker writes warnings and errors.
    """

    username = USERNAME
    password = PASSWORD

    def __init__(self, folder: Path) -> None:
        """Prepare a node in an empty folder, without starting it.

        Raises:
            KafkaUnavailableError: Java or the jars are not to be had here.
        """
        self._java = find_java()
        self._class_path = f"{fetch_jars()}{os.sep}*"
        self._ports = Ports.choose()
        self._folder = folder
        self._data = folder / "data"
        self._settings = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.log = folder / "kafka.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.certificates = Certificates.issue(folder)
        self._settings.write_text(server_properties(self._data, self._ports, self.certificates))

    @staticmethod
    def check_available() -> None:
        """Fetch what it needs, without starting anything.

        Raises:
            KafkaUnavailableError: Java or the jars are not to be had here.
        """
        find_java()
        fetch_jars()

    @property
    def bootstrap_servers(self) -> str:
        """Where it listens without security."""
        return f"127.0.0.1:{self._ports.plaintext}"

    @property
    def mutual_tls_servers(self) -> str:
        """Where it asks for a client's certificate (protocol SSL)."""
        return f"127.0.0.1:{self._ports.ssl}"

    @property
    def sasl_servers(self) -> str:
        """Where it asks for a password or a token, without TLS (protocol SASL_PLAINTEXT)."""
        return f"127.0.0.1:{self._ports.sasl_plaintext}"

    @property
    def sasl_tls_servers(self) -> str:
        """Where it asks for a password or a token over TLS (protocol SASL_SSL)."""
        return f"127.0.0.1:{self._ports.sasl_ssl}"

    @property
    def pid(self) -> int:
        """The broker's process id; an error where it does not run."""
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process.pid

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start it and wait until it serves."""
        if not self._data.exists():
            self._format()
        deadline = time.monotonic() + timeout
        with self.log.open("ab") as log:
            self._process = self._spawn(JVM_OPTIONS, "kafka.Kafka", log)
        self._guard = _kill_with_this_process(self._process.pid)
        atexit.register(self.kill)
        try:
            self._wait_until_it_serves(deadline)
        except BaseException:
            self.kill()
            raise

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End it in good order, by force where it takes longer than ``timeout`` seconds."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End it at once, as a crash of the process would."""
        self._end(signal.SIGKILL, STOP_SECONDS)

    def restart(self) -> None:
        """Stop it and start it again, on the same ports with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def stored_codecs(self, topic: str) -> set[str]:
        """Name the compression of each batch of a topic, from the bytes on disk.

        No consumer says how a batch was compressed.
        """
        return {
            CODECS[codec]
            for segment in self._data.glob(f"{topic}-*/*.log")
            for codec in _batch_codecs(segment.read_bytes())
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _format(self) -> None:
        accounts = [
            f"{mechanism}=[name={self.username},password={self.password}]"
            for mechanism in SCRAM_MECHANISMS
        ]
        command = [self._java, *TOOL_OPTIONS, "-cp", self._class_path, "kafka.tools.StorageTool"]
        command += ["format", "--config", str(self._settings), "--cluster-id", CLUSTER_ID]
        for account in accounts:
            command += ["--add-scram", account]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{done.stderr[-2000:]}")

    def _spawn(
        self, options: tuple[str, ...], main: str, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches the tests, which then stop it in good order.
        return subprocess.Popen(
            [self._java, *options, "-cp", self._class_path, main, str(self._settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            start_new_session=True,
        )

    def _wait_until_it_serves(self, deadline: float) -> None:
        process = self._process
        client = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "reconnect.backoff.max.ms": 100},
            logger=_silent_logger(),
        )
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            try:
                if client.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue
        lines = self.log.read_text(errors="replace").splitlines()[-30:]
        raise RuntimeError("Apache Kafka did not start:\n" + "\n".join(lines))

    def _end(self, how: signal.Signals, timeout: float) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()
        if process is None:
            return
        atexit.unregister(self.kill)
        process.send_signal(how)
        # A frozen process takes no other signal than SIGKILL.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def _batch_codecs(segment: bytes) -> Iterator[int]:
    """Read the attributes of each batch of a log segment (record batches of version 2)."""
    start = 0
    while start < len(segment):
        _, length, _, _, _, attributes = struct.unpack_from(">qiibIH", segment, start)
        yield attributes & 0b111
        start += 12 + length


def _kill_with_this_process(pid: int) -> subprocess.Popen[bytes]:
    """Kill the process when this one is gone, however it ended: its end of the pipe closes."""
    return subprocess.Popen(
        ["sh", "-c", f"cat; kill -9 {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _silent_logger() -> logging.Logger:
    """Swallow the client's lines about a broker that is not up yet."""
    logger = logging.getLogger("apache_kafka.start")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger

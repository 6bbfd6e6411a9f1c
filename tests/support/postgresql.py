"""A real PostgreSQL on this machine, for tests and measurements."""

from __future__ import annotations

import atexit
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

__all__ = ["PostgreSQL", "PostgreSQLUnavailableError"]

START_SECONDS = 30.0
STOP_SECONDS = 20.0
USER = "experiments"
PASSWORD = "canary-p4ssw0rd"
ACCOUNTS = ("postgres", "nobody")


class PostgreSQLUnavailableError(Exception):
    """PostgreSQL cannot be started here; the text says what is missing."""


class PostgreSQL:
    """One private cluster on a free port, in a folder of its own; never run by root.

    Port, data and passwords stay the same from one start to the next.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        log: What the server has to say.
    """

    user = USER
    password = PASSWORD

    def __init__(self, *, durable: bool = False) -> None:
        """Prepare a cluster, without starting it.

        Args:
            durable: Whether commits are forced onto the disk. A server that is killed loses nothing
                either way; a machine would.

        Raises:
            PostgreSQLUnavailableError: PostgreSQL is not installed.
        """
        self._programs = find_programs()
        self._account = _account()
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        atexit.register(self.remove)
        self.port = _free_port()
        self.log = self._folder / "postgresql.log"
        self._data = self._folder / "data"
        self._format()

    @staticmethod
    def check_available() -> None:
        """Look whether PostgreSQL can run here.

        Raises:
            PostgreSQLUnavailableError: It cannot.
        """
        find_programs()
        _account()

    def url(self, database: str = "postgres", *, password: bool = True) -> str:
        """Give the URL of a database."""
        login = f"{self.user}:{self.password}" if password else self.user
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Connect as an independent client; each statement commits by itself."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def create_database(self, name: str) -> str:
        """Create an empty database, in place of one of that name; give its URL."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    @property
    def pid(self) -> int:
        """The server's process id; an error where it does not run."""
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process.pid

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start it and wait until it serves."""
        deadline = time.monotonic() + timeout
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
                user=self._account,
            )
        self._guard = _kill_with_this_process(self._process.pid)
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        self.kill()
        raise RuntimeError("PostgreSQL did not start:\n" + "\n".join(lines))

    def stop(self) -> None:
        """End it in good order; connections are closed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, all its processes too, as a crash of the machine would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again, on the same port with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """End it and remove its folder."""
        self.kill()
        atexit.unregister(self.remove)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def _format(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(PASSWORD)
        if self._account is not None:
            for path in (self._folder, password_file):
                shutil.chown(path, self._account)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "--no-sync"]
        command += ["-U", USER, "-A", "scram-sha-256", "--pwfile", str(password_file)]
        command += ["--encoding=UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(
            command,
            cwd=self._folder,
            user=self._account,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise RuntimeError(f"a cluster could not be made:\n{done.stderr[-2000:]}")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "fsync": "on" if self._durable else "off",
            "max_connections": 60,
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            "log_min_messages": "warning",
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _signal_all(self, how: signal.Signals) -> None:
        _signal([self.pid, *_children(self.pid)], how)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()
        if process is None:
            return
        if how is signal.SIGKILL:
            _signal([process.pid, *_children(process.pid)], how)
        else:
            process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def find_programs() -> Path:
    """Find the folder of the newest server's programs.

    Raises:
        PostgreSQLUnavailableError: There is none.
    """
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += Path("/usr/lib/postgresql").glob("*/bin")
    usable = [
        each for each in folders if (each / "initdb").exists() and (each / "postgres").exists()
    ]
    if not usable:
        raise PostgreSQLUnavailableError("no initdb and postgres (.ci/postgresql installs them)")
    return max(usable, key=lambda path: int((re.findall(r"\d+", str(path)) or ["0"])[0]))


def _account() -> str | None:
    """Choose who runs the server: not root, which it refuses; None for whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise PostgreSQLUnavailableError(f"it cannot run as root, and there is no {ACCOUNTS[0]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    # A backend has a process group of its own.
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in done.stdout.split()]


def _signal(pids: list[int], how: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, how)


def _kill_with_this_process(pid: int) -> subprocess.Popen[bytes]:
    """Kill the server when this process is gone, however it ended: its end of the pipe closes."""
    return subprocess.Popen(
        ["sh", "-c", f"cat; kill -9 {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

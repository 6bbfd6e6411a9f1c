"""A sink on a socket: keeps lines, answers each batch, can be taken away and brought back."""

from __future__ import annotations

import socket
import threading
from typing import Self


class LineServer:
    """Keeps what it is sent.

    A request is ``login`` with a password, or a number and so many lines; each is answered by
    ``ok`` and how many lines it had.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.address = ("127.0.0.1", 0)
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    def start(self) -> None:
        self._listener = socket.create_server(self.address)
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections and end those that there are."""
        with self._lock:
            ending = [*self._connections, *([self._listener] if self._listener else [])]
            self._connections.clear()
            self._listener = None
        for each in ending:
            _shut(each)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with self._lock:
                    self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rwb") as stream:
                while head := stream.readline():
                    lines = [stream.readline().rstrip(b"\n") for _ in range(int(head))]
                    with self._lock:
                        is_there = connection in self._connections
                        self.lines += lines if is_there else []
                    stream.write(b"ok %d\n" % len(lines))
                    stream.flush()
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                if connection in self._connections:
                    self._connections.remove(connection)


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        each.close()

"""A TCP proxy that misbehaves as networks do."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["FaultyProxy"]

PIECE = 16 * 1024
RESET = struct.pack("ii", 1, 0)


class FaultyProxy:
    """Passes connections on to another port, faithfully until it is told otherwise.

    Args:
        port: Where it listens.
        target: The port that it passes connections on to.

    Attributes:
        delay: Seconds by which every piece is late, each way.
        resets: Connections that it has reset.
    """

    def __init__(self, port: int, target: int) -> None:
        self.delay = 0.0
        self.resets = 0
        self._target = ("127.0.0.1", target)
        self._swallows = False
        self._cut_after: Callable[[], int] | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def black_hole(self) -> None:
        """Accept everything and answer nothing, on old connections and on new ones."""
        self._swallows = True

    def cut_after(self, choose: Callable[[], int]) -> None:
        """Reset each connection after so many bytes, in the midst of whatever is being said."""
        self._cut_after = choose
        self.reset()

    def restore(self) -> None:
        """Be faithful again; connections that missed something are reset."""
        was_faithful = not self._swallows
        self._swallows, self._cut_after, self.delay = False, None, 0.0
        if not was_faithful:
            self.reset()

    def reset(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def close(self) -> None:
        """Listen no more, and reset what is there."""
        self._is_closed = True
        self._listener.close()
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue
            try:
                broker = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            self._begin((client, broker))

    def _begin(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.add(pair)
        left = None if self._cut_after is None else self._cut_after()
        client, broker = pair
        for source, sink in ((client, broker), (broker, client)):
            threading.Thread(
                target=self._pass_on, args=(pair, source, sink, left), daemon=True
            ).start()

    def _pass_on(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        sink: socket.socket,
        left: int | None,
    ) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE):
                if self.delay:
                    time.sleep(self.delay)
                if self._swallows:
                    continue
                if left is not None:
                    data, left = data[:left], left - len(data)
                sink.sendall(data)
                if left is not None and left <= 0:
                    break
        self._end(pair)

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            if pair not in self._pairs:
                return
            self._pairs.remove(pair)
            self.resets += 1
        for end in pair:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
            end.close()

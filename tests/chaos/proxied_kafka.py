"""A broker that clients reach through a proxy only, wherever it tells them to go."""

from __future__ import annotations

from pathlib import Path

from apache_kafka import ApacheKafka
from faulty_proxy import FaultyProxy
from kafka_settings import Ports

__all__ = ["ProxiedKafka"]


class ProxiedKafka(ApacheKafka):
    """A node with one more listener, which it advertises at the proxy's port.

    Attributes:
        proxy: What stands before that listener.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = Ports.choose()
        listener, self._proxy_port = ports.plaintext, ports.ssl
        self.proxy = FaultyProxy(self._proxy_port, listener)
        added = {
            "listeners": f"PROXIED://127.0.0.1:{listener}",
            "advertised.listeners": f"PROXIED://127.0.0.1:{self._proxy_port}",
            "listener.security.protocol.map": "PROXIED:PLAINTEXT",
        }
        lines = self._settings.read_text("utf-8").splitlines()
        self._settings.write_text("\n".join(_extended(line, added) for line in lines) + "\n")

    @property
    def proxied_servers(self) -> str:
        """Where clients are sent to that meet the faults of the network."""
        return f"127.0.0.1:{self._proxy_port}"


def _extended(line: str, added: dict[str, str]) -> str:
    name = line.partition("=")[0]
    return f"{line},{added[name]}" if name in added else line

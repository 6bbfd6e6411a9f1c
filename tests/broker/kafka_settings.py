"""What the broker of the tests is told: listeners, certificates, accounts."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

__all__ = ["PASSWORD", "USERNAME", "Certificates", "Ports", "server_properties"]

USERNAME = "experimenter"
PASSWORD = "open sesame; 'really'"  # a test account, with what JAAS has to quote

SCRAM_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Ports:
    """The loopback port of each listener."""

    plaintext: int
    ssl: int
    sasl_plaintext: int
    sasl_ssl: int
    controller: int

    @classmethod
    def choose(cls) -> Ports:
        """Choose free ports that stay ours while the broker is down.

        They are below the range that the system hands out to clients: a client that tries again
        and again to reach a port of that range, with nobody listening, in the end connects to
        itself, and the broker cannot bind its port any more.
        """
        with ExitStack() as stack:
            return cls(*(next(_free_ports(stack)) for _ in range(5)))


def _free_ports(stack: ExitStack) -> Iterator[int]:
    while True:
        port = random.randint(15_000, 30_000)  # noqa: S311  # no secret
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
        else:
            stack.enter_context(listener)
            yield port


@dataclass(frozen=True)
class Certificates:
    """A certificate authority, the broker's certificate and one for a client, as PEM files."""

    ca: Path
    broker: Path
    client: Path
    client_key: Path

    @classmethod
    def issue(cls, folder: Path) -> Certificates:
        authority = trustme.CA()
        broker = authority.issue_cert("127.0.0.1", "localhost")
        client = authority.issue_cert("client.test", common_name="client.test")
        files = cls(
            ca=folder / "ca.pem",
            broker=folder / "broker.pem",
            client=folder / "client.pem",
            client_key=folder / "client.key",
        )
        authority.cert_pem.write_to_path(files.ca)
        files.broker.write_bytes(_pkcs8(broker) + _chain(broker))
        files.client.write_bytes(_chain(client))
        files.client_key.write_bytes(_pkcs8(client))
        return files


def _pkcs8(certificate: trustme.LeafCert) -> bytes:
    """Rewrite a private key in the only PEM form that Java reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _chain(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def server_properties(data: Path, ports: Ports, certificates: Certificates) -> str:
    """Write the settings of one node that is broker and controller."""
    listeners = {
        "PLAINTEXT": ports.plaintext,
        "SSL": ports.ssl,
        "SASL_PLAINTEXT": ports.sasl_plaintext,
        "SASL_SSL": ports.sasl_ssl,
        "CONTROLLER": ports.controller,
    }
    addresses = {name: f"{name}://127.0.0.1:{port}" for name, port in listeners.items()}
    clients = [address for name, address in addresses.items() if name != "CONTROLLER"]
    protocols = [f"{name}:{name}" for name in listeners if name != "CONTROLLER"]
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": ",".join(addresses.values()),
        "advertised.listeners": ",".join(clients),
        "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "num.partitions": "3",
        # Internal topics default to three replicas and fifty partitions.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill, the node waits until its former self is given up (9 s by default).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": "4194304",
        **_tls_settings(certificates),
        **_sasl_settings(),
    }
    return "".join(f"{name}={_escape(value)}\n" for name, value in settings.items())


def _tls_settings(certificates: Certificates) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.ca),
        # Mutual TLS on this listener, TLS of the broker alone on the one that asks a password.
        "listener.name.ssl.ssl.client.auth": "required",
    }


def _sasl_settings() -> dict[str, str]:
    security = "org.apache.kafka.common.security"
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    logins = {
        "plain": f'{security}.plain.PlainLoginModule required user_{USERNAME}="{quoted}";',
        "oauthbearer": f"{security}.oauthbearer.OAuthBearerLoginModule required;",
    } | {
        mechanism.lower(): f"{security}.scram.ScramLoginModule required;"
        for mechanism in SCRAM_MECHANISMS
    }
    return {
        "sasl.enabled.mechanisms": ",".join(["PLAIN", *SCRAM_MECHANISMS, "OAUTHBEARER"]),
    } | {
        f"listener.name.{listener}.{mechanism}.sasl.jaas.config": login
        for listener in ("sasl_plaintext", "sasl_ssl")
        for mechanism, login in logins.items()
    }


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\")

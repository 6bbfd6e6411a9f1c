from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from experiment_framework_kafka import KafkaBackplane, KafkaOptions, SecurityOptions
from experiment_framework_kafka.logs import ClientLog
from experiment_framework_kafka.settings import (
    admin_settings,
    consumer_settings,
    producer_settings,
)


def options(**chosen: Any) -> KafkaOptions:
    return KafkaOptions(**({"brokers": ["127.0.0.1:1"]} | chosen))


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"client_id": "me"},
        *({"compression_type": kind} for kind in ("none", "gzip", "snappy", "lz4", "zstd")),
        *({"acks": acks, "enable_idempotence": False} for acks in ("all", "-1", "1", "0")),
        {"max_in_flight": 1_000_000, "enable_idempotence": False},
        *(
            {"partitioner": name}
            for name in (
                "murmur2_random",
                "murmur2",
                "consistent_random",
                "consistent",
                "fnv1a_random",
                "fnv1a",
                "random",
            )
        ),
        {"batch_size": 1, "batch_bytes": 1, "linger_ms": 0, "max_message_bytes": 1000},
        {"batch_size": 1_000_000, "batch_bytes": 2**31 - 1, "max_message_bytes": 1_000_000_000},
        {"linger_ms": 900_000, "delivery_timeout_ms": 2**31 - 1, "request_timeout_ms": 900_000},
        {"delivery_timeout_ms": 1, "linger_ms": 0, "request_timeout_ms": 1},
        {"additional_config": {"socket.keepalive.enable": True, "retry.backoff.ms": 50}},
        {
            "security": SecurityOptions(
                protocol="SASL_PLAINTEXT", mechanism="SCRAM-SHA-512", username="u", password="p"
            )
        },
        {"security": SecurityOptions(protocol="SSL", verify_hostname=False)},
    ],
    ids=str,
)
@pytest.mark.parametrize(("size", "space"), [(1, 1024), (10_000_000, 2**31 * 1024 - 1024)])
def test_librdkafka_makes_clients_of_all_that_passes_the_checks(
    chosen: dict[str, Any], size: int, space: int
) -> None:
    checked = options(**chosen)
    assert list(KafkaBackplane(checked).check(checked)) == []
    settings = producer_settings(checked, queue_size=size, queue_bytes=space)
    Producer({**settings}, logger=ClientLog())
    AdminClient({**admin_settings(checked)}, logger=ClientLog())
    Consumer({**consumer_settings(checked)}, logger=ClientLog()).close()


def test_options_become_librdkafkas_settings() -> None:
    described = KafkaBackplane(options()).client_settings(
        options(client_id="me", acks="-1"), 1000, 10 * 1024 * 1024
    )
    expected = {
        "bootstrap.servers": "127.0.0.1:1",
        "acks": "all",
        "batch.num.messages": "500",
        "client.id": "me",
        "compression.type": "snappy",
        "delivery.timeout.ms": "120000",
        "enable.idempotence": "true",
        "linger.ms": "100",
        "max.in.flight.requests.per.connection": "5",
        "partitioner": "murmur2_random",
        "queue.buffering.max.kbytes": "10240",
        "queue.buffering.max.messages": "1000",
        "request.timeout.ms": "30000",
    }
    assert {name: described.get(name) for name in expected} == expected


def test_a_secret_comes_from_its_file_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    secured = options(
        security=SecurityOptions(
            protocol="SASL_PLAINTEXT",
            mechanism="PLAIN",
            username="ali",
            password_file=str(tmp_path / "password"),
        )
    )
    assert admin_settings(secured)["sasl.password"] == "open sesame"
    assert KafkaBackplane(secured).client_settings(secured, 1, 1024)["sasl.password"] == "***"


def test_describing_needs_no_file_of_secrets() -> None:
    secured = options(security=SecurityOptions(password_file="/missing"))
    assert KafkaBackplane(secured).client_settings(secured, 1, 1024)["sasl.password"] == "***"

"""Options as librdkafka settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from experiment_framework_kafka.options import KafkaOptions, SecurityOptions, Setting
from experiment_framework_kafka.properties import PROPERTIES

__all__ = [
    "Settings",
    "admin_settings",
    "consumer_settings",
    "masked",
    "producer_settings",
    "setting_text",
]

Settings: TypeAlias = dict[str, str]

_SECRET: Final = re.compile(r"password|secret|token(?!\.endpoint)|\.pem$|sasl\.jaas|credential")
_MASK: Final = "***"

_LARGEST: Final = 2**31 - 1


def setting_text(value: Setting) -> str:
    """Write a setting as librdkafka reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def producer_settings(
    options: KafkaOptions, *, queue_size: int, queue_bytes: int, only_failures: bool
) -> Settings:
    """Give the settings of the producer.

    Args:
        options: Checked options.
        queue_size: Most messages that wait at once.
        queue_bytes: Most bytes that wait at once.
        only_failures: Whether deliveries are left out of the reports.

    Raises:
        OSError: A file that holds a secret cannot be read.
    """
    return _connection_settings(options) | {
        "acks": "all" if options.acks == "-1" else options.acks,
        "batch.num.messages": str(options.batch_size),
        "batch.size": str(options.batch_bytes),
        "compression.type": options.compression_type,
        "delivery.report.only.error": setting_text(only_failures),
        "delivery.timeout.ms": str(options.delivery_timeout_ms),
        "enable.idempotence": setting_text(options.enable_idempotence),
        "linger.ms": str(options.linger_ms),
        "max.in.flight.requests.per.connection": str(options.max_in_flight),
        "message.max.bytes": str(options.max_message_bytes),
        "partitioner": options.partitioner,
        "queue.buffering.max.kbytes": str(min(max(queue_bytes // 1024, 1), _LARGEST)),
        "queue.buffering.max.messages": str(queue_size),
        "request.timeout.ms": str(options.request_timeout_ms),
        **_additional(options, "P*"),
    }


def consumer_settings(options: KafkaOptions) -> Settings:
    """Give the settings of a consumer that reads without belonging to a group.

    Raises:
        OSError: A file that holds a secret cannot be read.
    """
    return _connection_settings(options) | {
        **_additional(options, "*"),
        "auto.offset.reset": "error",
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "enable.partition.eof": "true",
        "group.id": options.client_id or "experiment-framework",
    }


def admin_settings(options: KafkaOptions) -> Settings:
    """Give the settings of a client that creates topics.

    Raises:
        OSError: A file that holds a secret cannot be read.
    """
    return _connection_settings(options) | _additional(options, "*")


def masked(settings: Mapping[str, str]) -> Settings:
    """Give settings as they may be shown."""
    return {
        name: _MASK if value and _SECRET.search(name) else value
        for name, value in sorted(settings.items())
    }


def _connection_settings(options: KafkaOptions) -> Settings:
    settings = {
        "bootstrap.servers": ",".join(options.brokers),
        # Brokers close idle connections: no news for anybody.
        "log.connection.close": "false",
        **_security_settings(options.security),
    }
    if options.client_id is not None:
        settings["client.id"] = options.client_id
    return settings


def _security_settings(security: SecurityOptions) -> Settings:
    chosen = {
        "security.protocol": security.protocol,
        "sasl.mechanisms": security.mechanism,
        "sasl.username": security.username,
        "sasl.password": _secret(security.password, security.password_file),
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.cert_file,
        "ssl.key.location": security.key_file,
        "ssl.key.password": _secret(security.key_password, security.key_password_file),
        "ssl.endpoint.identification.algorithm": None if security.verify_hostname else "none",
    }
    if security.token_endpoint_url is not None:
        chosen |= {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": security.token_endpoint_url,
            "sasl.oauthbearer.client.id": security.client_id,
            "sasl.oauthbearer.client.secret": _secret(
                security.client_secret, security.client_secret_file
            ),
            "sasl.oauthbearer.scope": security.scope,
        }
    return {name: value for name, value in chosen.items() if value is not None}


def _secret(value: str | None, file: str | None) -> str | None:
    return Path(file).read_text(encoding="utf-8").rstrip() if value is None and file else value


def _additional(options: KafkaOptions, scopes: str) -> Settings:
    """Give the additional settings that concern a producer (P) or every client (*)."""
    return {
        name: setting_text(value)
        for name, value in options.additional_config.items()
        if name not in PROPERTIES or PROPERTIES[name].scope in scopes
    }

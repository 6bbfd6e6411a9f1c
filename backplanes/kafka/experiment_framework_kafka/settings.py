"""Options as librdkafka settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, TypeAlias

from experiment_framework_kafka.options import KafkaOptions, SecurityOptions, Setting
from experiment_framework_kafka.properties import PROPERTIES

__all__ = [
    "Settings",
    "admin_settings",
    "consumer_settings",
    "describable_settings",
    "is_secret",
    "producer_settings",
    "read_secret",
    "setting_text",
]

Settings: TypeAlias = dict[str, str]

_SECRET: Final = re.compile(r"password|passphrase|secret|\.pem$|sasl\.oauthbearer\.config$")
_MASK: Final = "***"

_LARGEST: Final = 2**31 - 1


def setting_text(value: Setting) -> str:
    """Write a setting as librdkafka reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def producer_settings(
    options: KafkaOptions,
    *,
    queue_size: int,
    queue_bytes: int,
    opens_files: bool = True,
) -> Settings:
    """Give the settings of the producer.

    Args:
        options: Checked options.
        queue_size: Most messages that wait at once.
        queue_bytes: Most bytes that wait at once.
        opens_files: Whether secrets are read from their files; a mask stands for them otherwise.

    Raises:
        OSError: A file that holds a secret cannot be read.
    """
    return _connection_settings(options, opens_files=opens_files) | {
        "acks": "all" if options.acks == "-1" else options.acks,
        "batch.num.messages": str(options.batch_size),
        "batch.size": str(options.batch_bytes),
        "compression.type": options.compression_type,
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
        "auto.offset.reset": "earliest",
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


def is_secret(name: str) -> bool:
    """Whether the value of a librdkafka setting must not be shown."""
    return _SECRET.search(name) is not None


def describable_settings(options: KafkaOptions, *, queue_size: int, queue_bytes: int) -> Settings:
    """Give the producer's settings as they may be shown; files with secrets are not opened."""
    settings = producer_settings(
        options, queue_size=queue_size, queue_bytes=queue_bytes, opens_files=False
    )
    return {
        name: _MASK if value and is_secret(name) else value
        for name, value in sorted(settings.items())
    }


def _connection_settings(options: KafkaOptions, *, opens_files: bool = True) -> Settings:
    settings = {
        "bootstrap.servers": ",".join(options.brokers),
        # Brokers close idle connections: no news for anybody.
        "log.connection.close": "false",
        **_security_settings(options.security, opens_files=opens_files),
    }
    if options.client_id is not None:
        settings["client.id"] = options.client_id
    return settings


def _security_settings(security: SecurityOptions, *, opens_files: bool) -> Settings:
    def secret(value: str | None, file: str | None) -> str | None:
        if file is None or value is not None:
            return value
        return read_secret(file) if opens_files else _MASK

    chosen = {
        "security.protocol": security.protocol,
        "sasl.mechanisms": security.mechanism,
        "sasl.username": security.username,
        "sasl.password": secret(security.password, security.password_file),
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.cert_file,
        "ssl.key.location": security.key_file,
        "ssl.key.password": secret(security.key_password, security.key_password_file),
        "ssl.endpoint.identification.algorithm": None if security.verify_hostname else "none",
    }
    if security.token_endpoint_url is not None:
        chosen |= {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": security.token_endpoint_url,
            "sasl.oauthbearer.client.id": security.client_id,
            "sasl.oauthbearer.client.secret": secret(
                security.client_secret, security.client_secret_file
            ),
            "sasl.oauthbearer.scope": security.scope,
        }
    return {name: value for name, value in chosen.items() if value is not None}


def read_secret(file: str) -> str:
    """Read a secret from its file, without the white space at its end.

    Raises:
        OSError: The file cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    return Path(file).read_text(encoding="utf-8").rstrip()


def _additional(options: KafkaOptions, scopes: str) -> Settings:
    """Give the additional settings that concern a producer (P) or every client (*)."""
    return {
        name: setting_text(value)
        for name, value in options.additional_config.items()
        if name not in PROPERTIES or PROPERTIES[name].scope in scopes
    }

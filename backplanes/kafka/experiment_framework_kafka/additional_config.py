"""What is wrong with ``additionalConfig``.

Names are refused before anything is tried: some settings take effect as soon as they are set, and
``test.mock.num.brokers`` would send every record to a cluster that does not exist. What remains is
tried on the installed librdkafka, offline.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Final

from experiment_framework.plugin import Problem

from experiment_framework_kafka.options import KafkaOptions, Setting
from experiment_framework_kafka.properties import PROPERTIES
from experiment_framework_kafka.settings import is_secret, setting_text

__all__ = ["GOVERNED", "UNSAFE", "check_additional_config"]

GOVERNED: Final = {
    "acks": "acks",
    "batch.num.messages": "batchSize",
    "batch.size": "batchBytes",
    "bootstrap.servers": "brokers",
    "client.id": "clientId",
    "compression.codec": "compressionType",
    "compression.type": "compressionType",
    "delivery.report.only.error": "deliveryReports",
    "delivery.timeout.ms": "deliveryTimeoutMs",
    "enable.idempotence": "enableIdempotence",
    "linger.ms": "lingerMs",
    "max.in.flight": "maxInFlight",
    "max.in.flight.requests.per.connection": "maxInFlight",
    "message.max.bytes": "maxMessageBytes",
    "message.timeout.ms": "deliveryTimeoutMs",
    "metadata.broker.list": "brokers",
    "partitioner": "partitioner",
    "queue.buffering.max.kbytes": "dataPlane.maxQueueBytes",
    "queue.buffering.max.messages": "dataPlane.maxQueueSize",
    "queue.buffering.max.ms": "lingerMs",
    "request.required.acks": "acks",
    "request.timeout.ms": "requestTimeoutMs",
    "sasl.mechanism": "security.mechanism",
    "sasl.mechanisms": "security.mechanism",
    "sasl.oauthbearer.client.credentials.client.id": "security.clientId",
    "sasl.oauthbearer.client.credentials.client.secret": "security.clientSecret",
    "sasl.oauthbearer.client.id": "security.clientId",
    "sasl.oauthbearer.client.secret": "security.clientSecret",
    "sasl.oauthbearer.method": "security.tokenEndpointUrl",
    "sasl.oauthbearer.scope": "security.scope",
    "sasl.oauthbearer.token.endpoint.url": "security.tokenEndpointUrl",
    "sasl.password": "security.password",
    "sasl.username": "security.username",
    "security.protocol": "security.protocol",
    "ssl.ca.location": "security.caFile",
    "ssl.certificate.location": "security.certFile",
    "ssl.endpoint.identification.algorithm": "security.verifyHostname",
    "ssl.key.location": "security.keyFile",
    "ssl.key.password": "security.keyPassword",
}
"""librdkafka settings that an option of ours stands for."""

UNSAFE: Final = frozenset(
    {
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
        "ssl.engine.id",
        "ssl.engine.location",
        "ssl.providers",
    }
)
"""Settings that load shared libraries or run commands."""

_OURS: Final = frozenset(
    {
        "enabled_events",
        "log.queue",
        "logger",
        "on_commit",
        "on_delivery",
        "transaction.timeout.ms",
        "transactional.id",
    }
)
_PYTHON: Final = "see dedicated API"
_SENTINEL: Final = "experiment.framework.sentinel"
_BOOLEANS: Final = ("true", "false")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


def check_additional_config(options: KafkaOptions, *, allow_unsafe: bool) -> Iterator[Problem]:
    """Find every problem of the additional settings; paths start at ``additionalConfig``."""
    for name, value in options.additional_config.items():
        problem = (
            _refused(name, allow_unsafe=allow_unsafe)
            or _misspelt_value(name, value)
            or _refused_by_librdkafka(name, value)
        )
        if problem is not None:
            yield problem


def _refused(name: str, *, allow_unsafe: bool) -> Problem | None:
    option = GOVERNED.get(name)
    if option is not None:
        where = option.rpartition(".")[0]
        return _problem(
            name,
            f"{name} is what the option {option} stands for",
            suggestion=f"use `{option.rpartition('.')[2]}`"
            + (f" under `{where}`" if where else ""),
        )
    known = PROPERTIES.get(name)
    if name in UNSAFE and not allow_unsafe:
        return _problem(
            name,
            f"{name} loads libraries or runs commands: a configuration file may not",
            suggestion="code allows it: KafkaBackplane(options, allow_unsafe_settings=True)",
        )
    if name.startswith("test."):
        return _problem(name, f"{name} is for librdkafka's own tests: records would be lost")
    if name in _OURS or name.endswith("_cb") or (known is not None and known.type == _PYTHON):
        return _problem(name, f"{name} is set by this backplane itself, or cannot be used with it")
    if known is not None and known.scope == "C":
        return _problem(name, f"{name} is a setting of consumers, this is a producer")
    return None


def _misspelt_value(name: str, value: Setting) -> Problem | None:
    """Read numbers strictly: librdkafka takes ``5s`` for 5."""
    known = PROPERTIES.get(name)
    text = setting_text(value)
    if known is None:
        return None
    if known.type == "boolean" and text not in _BOOLEANS:
        return _problem(name, "is no boolean", found=text, expected="true or false")
    patterns = {"integer": _INTEGER, "float": _NUMBER}
    if known.type not in patterns:
        return None
    if not patterns[known.type].fullmatch(text):
        return _problem(name, f"is no {known.type}", found=text, expected=_bounds(known.range))
    if known.range is not None and not known.range[0] <= float(text) <= known.range[1]:
        return _problem(name, "is out of range", found=text, expected=_bounds(known.range))
    return None


def _bounds(bounds: tuple[int, int] | None) -> str:
    return "a number" if bounds is None else f"{bounds[0]} to {bounds[1]}"


def _refused_by_librdkafka(name: str, value: Setting) -> Problem | None:
    """Set it on a configuration that cannot become a client, for a name that is not there.

    An error about that name says that the one before it passed.
    """
    from confluent_kafka import KafkaException, Producer

    from experiment_framework_kafka.errors import error_of

    try:
        Producer({name: setting_text(value), _SENTINEL: ""})
    except KafkaException as error:
        cause = error_of(error)
        text = str(error) if cause is None else cause.str()
        if _SENTINEL in text:
            return None
        if "No such configuration property" in text:
            return _problem(name, f"librdkafka has no setting {name}", suggestion=_suggestion(name))
        if is_secret(name):
            return _problem(name, "librdkafka does not take its value")
        return _problem(name, text.strip(), found=setting_text(value))
    except (TypeError, ValueError) as error:
        return _problem(name, f"cannot be set from a configuration: {error}")
    raise AssertionError(f"librdkafka took {_SENTINEL}")


def _suggestion(name: str) -> str | None:
    wanted = name.lower().replace("_", ".").replace("-", ".")
    near = difflib.get_close_matches(wanted, PROPERTIES, n=1, cutoff=0.7)
    if not near:
        return None
    option = GOVERNED.get(near[0])
    return f"did you mean {near[0]}?" + (f" Use the option `{option}`" if option else "")


def _problem(
    name: str,
    message: str,
    *,
    found: str | None = None,
    expected: str | None = None,
    suggestion: str | None = None,
) -> Problem:
    return Problem(
        message=message,
        path=("additionalConfig", name),
        found=found,
        expected=expected,
        suggestion=suggestion,
    )

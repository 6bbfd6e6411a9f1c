"""Asks the registry for the ids of our schemas, aside, until it has answered for each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from experiment_framework.schemas import event_schema

from experiment_framework_kafka.schema_registry.options import SchemaRegistryOptions
from experiment_framework_kafka.settings import read_secret

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.serialization import SerializationContext

__all__ = ["Place", "Registration"]

Place = tuple[str, str]
"""An event type and the topic that its records go to."""

FIRST_PAUSE: Final = 0.5
"""Seconds until the registry is asked again, after it did not answer."""

LONGEST_PAUSE: Final = 15.0

LAST_WORDS: Final = 0.2
"""Seconds that a request which is under way may take at close."""


class Registration:
    """Learns what goes before the JSON of each event type, on a thread of its own.

    Once it is known nothing is asked any more: the ids of schemas never change.

    Args:
        options: Checked options.
        destinations: The topic of each event type.

    Attributes:
        prefixes: The bytes before the JSON, as confluent-kafka's own serializer makes them.
        trouble: Why something is not known yet.
    """

    def __init__(self, options: SchemaRegistryOptions, destinations: Mapping[str, str]) -> None:
        self.prefixes: dict[Place, bytes] = {}
        self.trouble = "the schema registry has not answered yet"
        self._options = options
        self._wanted = tuple(destinations.items())
        self._strategy = _strategy(options, destinations)
        self._stopping = threading.Event()
        self._known = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="experiment-schema-registry", daemon=True
        )
        self._thread.start()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to ask."""
        return len(self.prefixes) == len(self._wanted)

    def wait(self, timeout: float) -> None:
        """Wait until everything is known, at most ``timeout`` seconds."""
        self._known.wait(timeout)

    def stop(self, timeout: float) -> None:
        """Ask no more."""
        self._stopping.set()
        self._thread.join(timeout + LAST_WORDS)

    def in_this_process(self) -> Registration:
        """Give one for a forked child: what is known goes with it, what is not it asks itself."""
        if self.is_complete:
            return self
        anew = Registration(self._options, dict(self._wanted))
        anew.prefixes.update(self.prefixes)
        return anew

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                self._ask()
            except Exception as error:  # noqa: BLE001  # whatever the client makes of an answer
                self.trouble = f"the schema registry: {_reason(error)}"
            else:
                self.trouble = ""
                self._known.set()
                return
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _ask(self) -> None:
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.serialization import MessageField, SerializationContext

        with SchemaRegistryClient(client_settings(self._options)) as client:
            for place in self._wanted:
                if self._stopping.is_set():
                    return
                event_type, topic = place
                if place not in self.prefixes:
                    serialize = self._serializer(client, event_type)
                    context = SerializationContext(topic, MessageField.VALUE)
                    # Of nothing it makes what goes before everything.
                    self.prefixes[place] = serialize(b"", context)

    def _serializer(
        self, client: SchemaRegistryClient, event_type: str
    ) -> Callable[[bytes, SerializationContext], bytes]:
        from confluent_kafka.schema_registry.json_schema import JSONSerializer

        schema = json.dumps(event_schema(event_type))
        conf: dict[str, Any] = {
            "auto.register.schemas": self._options.auto_register,
            "subject.name.strategy": self._strategy,
            "validate": False,  # records are checked where events are made
        }
        made: Any = JSONSerializer(schema, client, conf=conf, json_encode=_as_it_is)
        serialize: Callable[[bytes, SerializationContext], bytes] = made
        return serialize


def client_settings(options: SchemaRegistryOptions) -> dict[str, object]:
    """Give confluent-kafka's settings of the client.

    Raises:
        OSError: The file of the password cannot be read.
    """
    password = options.password
    if password is None and options.password_file is not None:
        password = read_secret(options.password_file)
    settings = {
        "url": ",".join(options.url),
        "basic.auth.user.info": None
        if options.username is None
        else f"{options.username}:{password or ''}",
        "ssl.ca.location": options.ca_file,
        "ssl.certificate.location": options.cert_file,
        "ssl.key.location": options.key_file,
        "timeout": options.timeout_ms / 1000,
        "max.retries": 0,  # it is asked again here, in the midst of nothing
    }
    return {name: value for name, value in settings.items() if value is not None}


def _strategy(options: SchemaRegistryOptions, destinations: Mapping[str, str]) -> Any:
    from confluent_kafka.schema_registry import (
        record_subject_name_strategy,
        topic_record_subject_name_strategy,
        topic_subject_name_strategy,
    )

    names = options.subject_names
    if names == "auto":
        has_shared_topic = len(set(destinations.values())) < len(destinations)
        names = "topicRecord" if has_shared_topic else "topic"
    return {
        "topic": topic_subject_name_strategy,
        "record": record_subject_name_strategy,
        "topicRecord": topic_record_subject_name_strategy,
    }[names]


def _as_it_is(body: bytes) -> bytes:
    return body


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__

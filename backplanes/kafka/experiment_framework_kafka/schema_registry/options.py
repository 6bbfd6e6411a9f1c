"""What a person may say under ``dataPlane.encoding`` where the type is ``schemaRegistryJson``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from experiment_framework.plugin import option, options
from msgspec import Meta

__all__ = ["SchemaRegistryOptions", "SubjectNames"]

SubjectNames: TypeAlias = Literal["auto", "topic", "record", "topicRecord"]


@options
class SchemaRegistryOptions:
    """Options of the encoding in the framing of Confluent Schema Registry."""

    url: Annotated[list[str], Meta(min_length=1, examples=["http://localhost:8081"])] = option(
        separator=",", help="Where the registry is; further ones are asked where the first fails."
    )
    username: str | None = option(default=None, help="User name, or the API key.")
    password: str | None = option(
        default=None, secret=True, help="Password, or the API secret; or use `passwordFile`."
    )
    password_file: str | None = option(
        default=None, help="File that holds the password; white space at its end is left out."
    )
    ca_file: str | None = option(
        default=None, help="PEM file of the certificate authorities to trust; certifi's by default."
    )
    cert_file: str | None = option(
        default=None, help="PEM file of the client's certificate, where the registry asks for one."
    )
    key_file: str | None = option(
        default=None, help="PEM file of the private key that belongs to `certFile`."
    )
    subject_names: SubjectNames = option(
        default="auto",
        help="What a schema is registered under: `topic` is TOPIC-value, `record` the schema's "
        "title, `topicRecord` both; `auto` is `topic`, and `topicRecord` where event types share "
        "a topic.",
    )
    auto_register: bool = option(
        default=True,
        help="Register our schemas; otherwise they have to be there, and are looked up.",
    )
    timeout_ms: Annotated[int, Meta(ge=1, le=600_000)] = option(
        default=5000, help="Longest time in ms that the registry may take to answer a request."
    )
    start_timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] = option(
        default=2000,
        help="Longest time in ms that making the data plane waits for the registry. Until it has "
        "answered there is no room for events, and `failureMode` decides.",
    )

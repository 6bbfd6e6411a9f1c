"""The settings that librdkafka has, by name: from a list that librdkafka itself printed.

``scripts/generate_properties.py`` writes the list. A newer librdkafka may know more names, so the
list is for suggestions and ranges; whether a name exists is asked of the installed one.
"""

from __future__ import annotations

from pkgutil import get_data
from typing import Final

import msgspec

__all__ = ["PROPERTIES", "Property"]


class Property(msgspec.Struct, frozen=True, rename="camel"):
    """What is known of one setting.

    Attributes:
        scope: ``P`` for producers, ``C`` for consumers, ``*`` for every client.
        type: As librdkafka's reference calls it: ``integer``, ``boolean``, ``see dedicated API``…
        range: Lowest and highest value of a number.
        alias_of: The name of which this is another.
    """

    scope: str
    type: str = "string"
    range: tuple[int, int] | None = None
    alias_of: str | None = None


class _Reference(msgspec.Struct):
    properties: dict[str, Property]


PROPERTIES: Final = msgspec.json.decode(
    get_data(__package__, "librdkafka_properties.json") or b"", type=_Reference
).properties

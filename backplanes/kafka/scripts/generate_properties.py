# noqa: INP001  # a script
"""Write the list of librdkafka's settings that the package ships.

The names, scopes and ranges come from the installed librdkafka itself, which can print its
configuration reference. Run it after a new confluent-kafka, on Linux:

    python backplanes/kafka/scripts/generate_properties.py
"""

from __future__ import annotations

import ctypes
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka

TARGET = (
    Path(__file__).resolve().parent.parent
    / "experiment_framework_kafka"
    / "librdkafka_properties.json"
)
ROW = re.compile(
    r"^(?P<name>\S+)\s*\|\s*(?P<scope>[PC*])\s*\|(?P<range>[^|]*)\|(?P<default>[^|]*)\|[^|]*\|"
    r"(?P<description>.*)$"
)
KIND = re.compile(r"\*Type: (?P<kind>[^*]+)\*")
ALIAS = re.compile(r"Alias for `(?P<name>[^`]+)`")
NUMBERS = re.compile(r"(?P<low>-?\d+) \.\. (?P<high>-?\d+)")


def reference() -> str:
    """Give librdkafka's own configuration reference, as it prints it."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "reference.md")
        stream = ctypes.c_void_p(libc.fopen(str(path).encode(), b"w"))
        library.rd_kafka_conf_properties_show(stream)
        libc.fclose(stream)
        return path.read_text()


def properties(text: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Read the rows of the reference."""
    for line in text.splitlines():
        row = ROW.match(line)
        if row is None:
            continue
        entry: dict[str, object] = {"scope": row["scope"]}
        description = row["description"]
        if alias := ALIAS.search(description):
            entry["aliasOf"] = alias["name"]
        if kind := KIND.search(description):
            entry["type"] = kind["kind"]
        if numbers := NUMBERS.search(row["range"]):
            entry["range"] = [int(numbers["low"]), int(numbers["high"])]
        yield row["name"], entry


def generate() -> str:
    """Give the text of the file."""
    found: dict[str, dict[str, object]] = {}
    for name, entry in properties(reference()):
        known = found.setdefault(name, entry)
        if known["scope"] != entry["scope"]:
            known["scope"] = "*"
    rows = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(found.items())
    )
    version = json.dumps(confluent_kafka.libversion()[0])
    return f'{{\n  "librdkafka": {version},\n  "properties": {{\n{rows}\n  }}\n}}\n'


if __name__ == "__main__":
    TARGET.write_text(generate(), encoding="utf-8")

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
from experiment_framework import Exposure, decode
from experiment_framework.envelope import SCHEMA_VERSION, Envelope, encode
from experiment_framework.schemas import event_schema

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/wire-format.md").read_text("utf-8")
EXAMPLE = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])


def test_the_example_is_what_is_written() -> None:
    envelope = decode(json.dumps(EXAMPLE))

    assert isinstance(envelope.payload, Exposure)
    assert json.loads(encode(envelope).body) == EXAMPLE
    assert list(json.loads(encode(envelope).body)["payload"]) == list(EXAMPLE["payload"])


def test_the_example_fits_the_schema_of_its_type() -> None:
    jsonschema.Draft202012Validator(event_schema("Exposure")).validate(EXAMPLE)


def test_the_page_names_every_field_of_the_envelope_and_its_version() -> None:
    fields = re.findall(r"^\| `(\w+)` \|", PAGE.split("## Headers")[0], re.MULTILINE)

    assert fields == [name for name in Envelope.__struct_encode_fields__ if name != "$extra"]
    assert f"The version described here is `{SCHEMA_VERSION}`" in PAGE

"""The JSON Schema says what the loader does, as far as it can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from experiment_framework._config import load, option_rows, options_schema, schema
from experiment_framework._config.conversion import convert
from experiment_framework._registry import Registry
from experiment_framework.errors import ConfigError
from ruamel.yaml import YAML

DEFINITIONS = Path(__file__).parents[3] / "samples" / "experiment_definitions"
SAMPLES = sorted(DEFINITIONS.glob("*.yaml"))
GOLDEN = Path(__file__).parent / "golden"

# Bad files of the golden tests in which a schema has nothing to find fault with.
BEYOND_A_SCHEMA = {
    "contradiction",  # values that go together with others only
    "contradiction-with-a-default",
    "duplicates",  # gone, or refused, before a schema is asked
    "environment",  # it depends on who runs it
    "unclosed-quote",  # no YAML
    "unquoted-reference",
    "yaml-1.1",  # a directive is no content
}
BAD_FILES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))


@pytest.fixture
def validator(registry: Registry) -> Any:
    made = schema(registry)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def _plain(text: str) -> Any:
    """Read a file as an editor does: YAML 1.2, without what the loader knows besides."""
    return YAML(typ="safe", pure=True).load(text)


def _with_options(options: str) -> str:
    return (
        f"experimentFramework: {{dataPlane: {{backplane: {{type: sink, options: {options}}}}}}}\n"
    )


def _member(member: str) -> str:
    return f"backplane: {{type: composite, options: {{members: {{a: {member}}}}}}}"


def test_it_is_plain_json(registry: Registry) -> None:
    made = schema(registry)
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_every_sample_is_valid(validator: Any, path: Path) -> None:
    validator.validate(_plain(path.read_text()))


@pytest.mark.parametrize(
    "options",
    [
        "{url: here}",
        "{url: 0500, name: off, size: 5, acks: 1, enabled: false}",
        "{url: a, acks: '1', enabled: false, hosts: 'a,b', login: }",
        "{url: a, hosts: [a, 'b,c'], x-more: [1], login: {x-a: 1, password: x}}",
        "{url: a, size: '${SIZE:-5}', ratio: '${R:-1}', enabled: '${E:-true}', limit: }",
        "{url: a, retention: true, topics: {exposure: x, x-a: 1}, extra: {a: 1, b: true, c: x}}",
        "{url: a, retention: {days: 3}}",
    ],
)
def test_what_loads_is_valid(validator: Any, registry: Registry, options: str) -> None:
    text = _with_options(options)
    load(text, registry=registry, environ={})
    validator.validate(_plain(text))


@pytest.mark.parametrize(
    "text",
    [
        _with_options(options)
        for options in (
            "{}",
            "{url: [a]}",
            "{url: a, size: 0}",
            "{url: a, size: '5'}",
            "{url: a, size: 1.5}",
            "{url: a, enabled: off}",
            "{url: a, enabled: 'false'}",
            "{url: a, acks: 7}",
            "{url: a, code: XYZ}",
            "{url: a, hosts: []}",
            "{url: a, hosts: [[]]}",
            "{url: a, sise: 5}",
            "{url: a, login: {pasword: x}}",
            "{url: a, topics: {other: x}}",
            "{url: a, extra: {a: [1]}}",
            "{url: a, retention: {days: 0}}",
            "{url: a, retention: soon}",
        )
    ]
    + [
        "{}\n",
        "experimentFramework:\n",
        "experimentFramework: {}\n",
        "experimentFramework: {dataPlane: {}}\n",
        "experimentFramework: {dataPlane: {backplane: {}}}\n",
        "experimentFramework: {dataPlane: {backplane: {type: other}}}\n",
        "experimentFramework: {dataPlane: {backplane: {type: sink}}}\n",
        "experimentFramework: {dataPlane: {backplane: {type: memory, option: {}}}}\n",
        "experimentFramework: {dataPlane: {batchSize: 0, backplane: {type: memory}}}\n",
        "experimentFramework: {dataPlane: {bachSize: 1, backplane: {type: memory}}}\n",
        "experimentFramework: {dataPlane: {failureMode: keep, backplane: {type: memory}}}\n",
        "experimentFramework: {dataPlane: {rate: 2, backplane: {type: memory}}}\n",
        "experimentFramework: {dataPlane: {piiRedaction: {}, backplane: {type: memory}}}\n",
        "experimentFramework: {dataPlane: {backplane: {type: memory}}, trails: []}\n",
    ],
)
def test_what_it_can_express_is_invalid_as_for_the_loader(
    validator: Any, registry: Registry, text: str
) -> None:
    with pytest.raises(ConfigError):
        load(text, registry=registry, environ={})
    assert not validator.is_valid(_plain(text))


@pytest.mark.parametrize(
    "written",
    [
        "backplanes: [{type: sink, options: {url: a}}, {name: b, type: memory, batchSize: 5}]",
        _member("{type: memory, eventTypes: [Error]}"),
        _member("{type: composite, options: {members: {b: {type: sink, options: {url: a}}}}}"),
    ],
)
def test_members_that_load_are_valid(validator: Any, registry: Registry, written: str) -> None:
    text = f"experimentFramework: {{dataPlane: {{{written}}}}}\n"
    load(text, registry=registry, environ={})
    validator.validate(_plain(text))


@pytest.mark.parametrize(
    "written",
    [
        "backplanes: []",
        "backplanes: [{type: sink, options: {url: a}, nme: b}]",
        "backplanes: [{type: sink}]",
        "backplanes: [{type: other}]",
        "backplanes: [{name: a}]",
        "backplanes: [{type: sink, options: {url: a, size: 0}}]",
        "backplane: {type: composite}",
        "backplane: {type: composite, options: {members: {}}}",
        _member("{type: sink, options: {}}"),
        _member("{type: composite, options: {members: {b: {type: sink}}}}"),
    ],
)
def test_members_that_do_not_load_are_invalid(
    validator: Any, registry: Registry, written: str
) -> None:
    text = f"experimentFramework: {{dataPlane: {{{written}}}}}\n"
    with pytest.raises(ConfigError):
        load(text, registry=registry, environ={})
    assert not validator.is_valid(_plain(text))


@pytest.mark.parametrize("name", [name for name in BAD_FILES if name not in BEYOND_A_SCHEMA])
def test_bad_files_of_the_golden_tests_are_invalid(validator: Any, name: str) -> None:
    assert not validator.is_valid(_plain((GOLDEN / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("name", ["kafka", "file", "logging", "memory"])
def test_a_misspelt_option_is_invalid(validator: Any, registry: Registry, name: str) -> None:
    for row in option_rows(registry.load_backplane(name).options_class):
        *blocks, key = row.key.split(".")
        written: dict[str, Any] = {f"{key}z": "x"}
        for block in reversed(blocks):
            written = {block: written}
        whole = {"type": name, "options": {"brokers": ["a:1"], "path": "x"} | written}
        errors = validator.iter_errors({"experimentFramework": {"dataPlane": {"backplane": whole}}})
        assert any(f"{key}z" in error.message for error in errors), row.key


def test_editors_that_know_an_older_draft_come_to_the_same_verdict(registry: Registry) -> None:
    made = schema(registry)
    jsonschema.Draft7Validator.check_schema(made)
    older, newer = jsonschema.Draft7Validator(made), jsonschema.Draft202012Validator(made)
    texts = [path.read_text() for path in SAMPLES]
    texts += [
        (GOLDEN / f"{name}.yaml").read_text() for name in BAD_FILES if name not in BEYOND_A_SCHEMA
    ]
    for document in map(_plain, texts):
        assert older.is_valid(document) == newer.is_valid(document)


@pytest.mark.parametrize("name", ["sink", "kafka", "file", "logging", "memory"])
def test_every_option_has_a_description_and_a_default_that_loads(
    registry: Registry, name: str
) -> None:
    from experiment_framework._config.fields import option_fields
    from experiment_framework._config.nodes import from_python

    options_class = registry.load_backplane(name).options_class
    described = options_schema(options_class)
    for field in option_fields(options_class):
        assert described["properties"][field.key]["description"] == field.metadata.help
        if "default" in described["properties"][field.key]:
            default = described["properties"][field.key]["default"]
            jsonschema.validate(default, described["properties"][field.key])
            assert convert(from_python(default), field.type) == field.default()


def test_the_rows_of_a_table_are_the_options(registry: Registry) -> None:
    rows = {row.key: row for row in option_rows(registry.load_backplane("sink").options_class)}
    assert rows["url"].default == "required"
    assert rows["url"].is_required
    assert rows["hosts"].default == '["localhost:1"]'
    assert rows["size"].type == "integer from 1 to 100"
    assert rows["acks"].type == "one of all, 1, 0"
    assert rows["login.password"].is_secret
    assert rows["retention"].type == "mapping or true or false"
    assert rows["retention.days"].help == "Days."
    assert rows["name"].default == "none"

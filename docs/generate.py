"""Write into the documentation what comes from code, between markers.

A generated part of a Markdown file stands between ``<!-- begin generated: KIND ARGUMENT -->`` and
``<!-- end generated -->``, and keeps their indentation. With ``--check`` nothing is written, and a
file that is out of step is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from experiment_framework import errors
from experiment_framework._cli.main import experiment
from experiment_framework._cli.plugin_project import PluginName, project_files
from experiment_framework._config import OptionRow, option_rows
from experiment_framework._measurements import INSTRUMENTS
from experiment_framework._registry import default_registry
from experiment_framework.dataplane_options import DataPlaneOptions
from experiment_framework.events import EVENT_TYPES
from experiment_framework.metrics import prometheus_name
from experiment_framework.schemas import event_schema, file_name

ROOT: Final = Path(__file__).resolve().parent.parent
LANGUAGES: Final = {".py": "python", ".yaml": "yaml", ".toml": "toml"}
NEW_PLUGIN: Final = PluginName("lines")
HELP_WIDTH: Final = 90
PART: Final = re.compile(
    r"^(?P<begin>(?P<indent> *)<!-- begin generated: (?P<kind>\S+)"
    r"(?: (?P<argument>[^\n]+?))? -->\n)"
    r".*?(?P<end>^ *<!-- end generated -->)",
    re.DOTALL | re.MULTILINE,
)


def source(path: str) -> str:
    """Copy a file into a code block."""
    text = (ROOT / path).read_text(encoding="utf-8").rstrip()
    return f"```{LANGUAGES[Path(path).suffix]}\n{text}\n```"


def new_plugin(path: str) -> str:
    """Show a file of what ``experiment new-plugin`` writes."""
    text = project_files(NEW_PLUGIN)[path].rstrip()
    return f"```{LANGUAGES[Path(path).suffix]}\n{text}\n```"


def option_table(argument: str) -> str:
    """Write the options of ``dataplane[.BLOCK]``, ``step KEY`` or ``backplane NAME[.BLOCK]``.

    Those of ``encoder NAME``, too.
    """
    whose, _, block = argument.partition(".")
    kind, _, name = whose.partition(" ")
    if kind == "dataplane":
        options_class: type[Any] = DataPlaneOptions
    elif kind == "step":
        options_class = default_registry().load_step(name).options_class
    elif kind == "encoder":
        options_class = default_registry().load_encoder(name).options_class
    else:
        options_class = default_registry().load_backplane(name).options_class
    rows = (
        (row, own)
        for row in option_rows(options_class)
        for outer, _, own in [row.key.rpartition(".")]
        if outer == block
    )
    return table(
        ("option", "takes", "default", "meaning"),
        (
            (f"`{own}`", cell(row.type), default(row), cell(row.help) + secrecy(row))
            for row, own in rows
        ),
    )


def default(row: OptionRow) -> str:
    """Say what an option is where it is not written."""
    if row.is_required:
        return "required"
    return "" if row.default == "none" else f"`{row.default}`"


def secrecy(row: OptionRow) -> str:
    """Say that a value is masked."""
    return " Masked wherever it is shown." if row.is_secret else ""


def payload_table(event_type: str) -> str:
    """Write the fields of an event as they are on the wire."""
    described = event_schema(event_type)["properties"]["payload"]["properties"]
    fields = msgspec.structs.fields(EVENT_TYPES[event_type])
    return table(
        ("field", "type", "if it is not given", "meaning"),
        (
            (
                f"`{field.encode_name}`",
                wire_type(described[field.encode_name]),
                if_not_given(field),
                cell(described[field.encode_name]["description"]),
            )
            for field in sorted(fields, key=lambda field: not field.required)
            if field.encode_name in described
        ),
    )


def wire_type(schema: Mapping[str, Any]) -> str:
    """Say what JSON a field has."""
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    return "string, time" if schema.get("format") == "date-time" else str(schema["type"])


def if_not_given(field: msgspec.structs.FieldInfo) -> str:
    """Say what becomes of a field that the application does not set."""
    if field.required:
        return "required"
    if field.default is None:
        return "left out"
    if field.name == "timestamp":
        return "now"
    return f"`{msgspec.json.encode(field.default_factory()).decode()}`"


def schema_files(_: str) -> str:
    """List the schemas that are shipped, and how each is asked for."""
    return table(
        ("file in `experiment_framework/schemas/`", "in Python"),
        (
            (f"`{file_name(event_type)}`", f'`event_schema("{event_type}")`')
            for event_type in EVENT_TYPES
        ),
    )


def metric_table(_: str) -> str:
    """List the figures that are shown, by both of their names."""
    return table(
        ("Prometheus", "OpenTelemetry", "attributes", "meaning"),
        (
            (
                f"`{prometheus_name(each)}`",
                f"`{each.name}`",
                ", ".join(f"`{name}`" for name in each.attributes),
                cell(each.help),
            )
            for each in INSTRUMENTS
        ),
    )


def error_tree(_: str) -> str:
    """Copy the tree at the top of the module of errors."""
    tree = (errors.__doc__ or "").split("::\n", 1)[1].rpartition("\n\n")[0]
    return f"```text\n{textwrap.dedent(tree).strip()}\n```"


def command_line(_: str) -> str:
    """Print the help of every command."""
    with help_context("experiment", experiment) as outer:
        parts = help_texts(experiment, outer)
        return "\n\n".join(f"## `{name}`\n\n```text\n{text.rstrip()}\n```" for name, text in parts)


def help_texts(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Give the path and the help of a command and of those below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (inner := command.get_command(context, name)) is not None:
                yield from help_texts(inner, help_context(name, inner, context))


def help_context(
    name: str, command: click.Command, parent: click.Context | None = None
) -> click.Context:
    """Make the context in which a command would print its help on a terminal."""
    return command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=HELP_WIDTH
    )


def cell(text: str) -> str:
    """Escape what would end a cell of a table."""
    return text.replace("|", "\\|")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a Markdown table."""
    lines = (head, tuple("---" for _ in head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


KINDS: Final[Mapping[str, Callable[[str], str]]] = {
    "cli": command_line,
    "error-tree": error_tree,
    "metrics": metric_table,
    "new-plugin": new_plugin,
    "options": option_table,
    "payload": payload_table,
    "schemas": schema_files,
    "source": source,
}


def in_step(text: str) -> str:
    """Give a Markdown text with its generated parts made anew."""

    def renew(part: re.Match[str]) -> str:
        body = KINDS[part["kind"]](part["argument"] or "")
        return f"{part['begin']}\n{textwrap.indent(body, part['indent'])}\n\n{part['end']}"

    return PART.sub(renew, text)


def documents() -> Iterator[Path]:
    """Find the Markdown files that may have generated parts."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def main() -> int:
    """Bring all files into step, or check that they are."""
    parser = argparse.ArgumentParser(description="Write what comes from code into the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of step")
    check = parser.parse_args().check
    stale = {}
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (renewed := in_step(text)) != text:
            stale[path] = renewed
    for path, renewed in stale.items():
        print(f"{path.relative_to(ROOT)}: {'out of step' if check else 'written'}")
        if not check:
            path.write_text(renewed, encoding="utf-8")
    if stale and check:
        print("run: .venv/bin/python docs/generate.py")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())

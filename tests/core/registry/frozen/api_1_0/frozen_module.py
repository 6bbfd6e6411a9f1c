"""A backplane that is a module, as version 1.0 of the plugin API has it. Never to be changed."""

from experiment_framework.plugin import hookimpl, option, options

api_version = "1.0"


@options
class Options:
    path: str = option(help="File that is appended to.")


OPENED = []


@hookimpl
def configuration():
    return Options


@hookimpl
def open(options, context):  # noqa: A001
    OPENED.append(options)


@hookimpl
def write_batch(records):
    with __builtins__["open"](OPENED[-1].path, "ab") as file:
        file.writelines(record.body + b"\n" for record in records)

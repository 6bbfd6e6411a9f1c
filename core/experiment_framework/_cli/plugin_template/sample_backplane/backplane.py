"""Takes events to their sink."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiment_framework.plugin import Backplane, Problem, Record

from sample_backplane.options import SampleOptions


class SampleBackplane(Backplane[SampleOptions]):
    """Appends each event to a file, as a line of JSON."""

    api_version = "1.0"

    def check(self, options: SampleOptions) -> Iterator[Problem]:
        """Find what is wrong between options, offline."""
        if options.path.endswith("/"):
            yield Problem(
                message="this is a folder, and a file is needed",
                path=("path",),
                found=options.path,
                suggestion="Add the name of a file, such as events.jsonl.",
            )

    def write_batch(self, records: Sequence[Record]) -> None:
        """Make these records durable, in order; block until they are, or raise.

        What is raised is tried again. `Permanent` and `Retryable` say which records it is about.
        """
        lines = b"".join(record.body + b"\n" for record in records)
        with Path(self.options.path).open("ab") as file:
            file.write(lines)

"""What the help of every command says about exit codes."""

from __future__ import annotations

from typing import Final

from experiment_framework._termination import TERMINATED

__all__ = ["INTERRUPTED", "READER_GONE", "exit_codes"]

INTERRUPTED: Final = 130
READER_GONE: Final = 141


def exit_codes(*, done: str = "done", failed: str | None = None) -> str:
    """Write the last paragraph of a command's help."""
    lines = [f"0    {done}"]
    if failed:
        lines.append(f"1    {failed}")
    lines += [
        "2    usage or configuration is wrong",
        f"{INTERRUPTED}  interrupted by Ctrl-C",
        f"{READER_GONE}  the reader of the output went away",
        f"{TERMINATED}  ended by SIGTERM",
    ]
    return "\b\nExit codes:\n" + "\n".join(f"  {line}" for line in lines)

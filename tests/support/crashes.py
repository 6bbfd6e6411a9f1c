"""A spool left as a process leaves it that is killed, in a process that goes on."""

from __future__ import annotations

from experiment_framework._delivery.spool import Spool

__all__ = ["crash"]


def crash(spool: Spool) -> None:
    """Have its locks gone, and nothing written, synced or deleted any more."""
    durability = spool._durability
    durability.syncer.stop()
    with durability._syncing:  # what its thread is writing now is written as a whole
        spool.after_fork()
    spool.close()

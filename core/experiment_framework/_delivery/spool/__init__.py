"""Records on local disk until a backplane has them.

The store knows nothing of data planes and backplanes: it takes records, gives them back oldest
first, and forgets those that were acknowledged. On the disk::

    directory/                   declared by the user
      .lock                      held while folders are made and adopted
      corrupt/                   bytes that could not be read, kept aside for inspection
      00000007-4242/             of one process: a number that rises, and its process id
        lock                     held for the life of that process
        00000001.segment         frames, appended
        00000001.state           what is acknowledged of it; when sealed, how much is in it
        00000003-4100/           the folder of a process that died, adopted as it was
"""

from experiment_framework._delivery.spool.segment import Place
from experiment_framework._delivery.spool.store import Fsync, Spool, WhenFull

__all__ = ["Fsync", "Place", "Spool", "WhenFull"]

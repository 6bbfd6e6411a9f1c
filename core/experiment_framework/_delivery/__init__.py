"""What sits between the pipeline and a backplane."""

from experiment_framework._delivery.direct import Direct
from experiment_framework._delivery.fence import open_backplane
from experiment_framework._delivery.handover import Handover
from experiment_framework._delivery.outlet import Outlet
from experiment_framework._delivery.settlement import Settlement, Waiter
from experiment_framework._delivery.shared_flush import SharedFlush
from experiment_framework._delivery.throttle import ThrottledLog
from experiment_framework._delivery.worker import BatchWorker

__all__ = [
    "BatchWorker",
    "Direct",
    "Handover",
    "Outlet",
    "Settlement",
    "SharedFlush",
    "ThrottledLog",
    "Waiter",
    "open_backplane",
]

"""What sits between the pipeline and a backplane."""

from experiment_framework._delivery.delivery import Delivery
from experiment_framework._delivery.latch import Latch
from experiment_framework._delivery.settlement import Settlement, Waiter
from experiment_framework._delivery.threads import refuse_threads, start_thread
from experiment_framework._delivery.throttle import ThrottledLog

__all__ = [
    "Delivery",
    "Latch",
    "Settlement",
    "ThrottledLog",
    "Waiter",
    "refuse_threads",
    "start_thread",
]

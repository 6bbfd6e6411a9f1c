"""What sits between the pipeline and a backplane."""

from experiment_framework._delivery.direct import Direct
from experiment_framework._delivery.outlet import Outlet
from experiment_framework._delivery.settlement import Settlement
from experiment_framework._delivery.throttle import ThrottledLog
from experiment_framework._delivery.worker import BatchWorker

__all__ = ["BatchWorker", "Direct", "Outlet", "Settlement", "ThrottledLog"]

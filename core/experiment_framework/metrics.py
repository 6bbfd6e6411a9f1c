"""The ledger and the health of data planes as Prometheus text and as OpenTelemetry metrics.

Each function asks for the package that it works with: ``prometheus-client`` or
``opentelemetry-api``. Neither is needed for anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from experiment_framework._measurements import Instrument, Measurements, Planes
from experiment_framework.errors import UnsupportedError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider, Observation
    from prometheus_client.core import Metric

__all__ = ["PROMETHEUS_CONTENT_TYPE", "PrometheusCollector", "observe", "prometheus_text"]

PROMETHEUS_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of `prometheus_text`."""

_PROMETHEUS_UNITS: Final = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


class PrometheusCollector:
    """Gives ``prometheus-client`` the figures of data planes, each time they are scraped.

    For an application with a registry of its own, to be given to its ``register``.

    Args:
        planes: One data plane, or several by names, which become the label ``data_plane``.
        by_variant: Whether events are counted by experiment and variant, too; of these a thousand
            are told apart, and each makes three time series.

    Raises:
        UnsupportedError: ``prometheus-client`` is not installed.
    """

    def __init__(self, planes: Planes, *, by_variant: bool = False) -> None:
        self._core = _imported("prometheus_client.core", "prometheus")
        self._measurements = Measurements(planes, by_variant=by_variant)

    def describe(self) -> list[Metric]:
        """Name the figures, so that a registry can refuse a second collector of the same ones."""
        return [self._family(instrument) for instrument in self._measurements.instruments]

    def collect(self) -> Iterator[Metric]:
        """Take the figures now."""
        for instrument, points in self._measurements.take().items():
            family = self._family(instrument)
            for point in points:
                labels = [point.attributes[label] for label in self._labels(instrument)]
                family.add_metric(labels, point.value)
            yield family

    def _labels(self, instrument: Instrument) -> tuple[str, ...]:
        return self._measurements.own_attributes + instrument.attributes

    def _family(self, instrument: Instrument) -> Any:
        is_counter = instrument.kind == "counter"
        create = self._core.CounterMetricFamily if is_counter else self._core.GaugeMetricFamily
        return create(prometheus_name(instrument), instrument.help, labels=self._labels(instrument))


def prometheus_name(instrument: Instrument) -> str:
    """Name a figure in the way of Prometheus."""
    name = instrument.name.replace(".", "_") + _PROMETHEUS_UNITS.get(instrument.unit, "")
    return f"{name}_total" if instrument.kind == "counter" else name


def prometheus_text(planes: Planes, *, by_variant: bool = False) -> bytes:
    """Write the figures in the text format of Prometheus, to be served as they are.

    In a server of several processes each answers for itself.

    Args:
        planes: One data plane, or several by names, which become the label ``data_plane``.
        by_variant: As `PrometheusCollector` takes it.

    Raises:
        UnsupportedError: ``prometheus-client`` is not installed.
    """
    collector = PrometheusCollector(planes, by_variant=by_variant)
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


def observe(
    planes: Planes, meter_provider: MeterProvider | None = None, *, by_variant: bool = False
) -> None:
    """Have OpenTelemetry export the figures whenever its readers collect them.

    Call it once in a process: OpenTelemetry takes no instrument back.

    Args:
        planes: One data plane, or several by names, which become the attribute ``data_plane``.
        meter_provider: By default the global one.
        by_variant: As `PrometheusCollector` takes it.

    Raises:
        UnsupportedError: ``opentelemetry-api`` is not installed.
    """
    api = _imported("opentelemetry.metrics", "opentelemetry-metrics")
    provider: MeterProvider = meter_provider or api.get_meter_provider()
    meter = provider.get_meter("experiment_framework")
    measurements = Measurements(planes, by_variant=by_variant)

    def observations(instrument: Instrument) -> Callable[[Any], list[Observation]]:
        return lambda _: [
            api.Observation(point.value, point.attributes)
            for point in measurements.recent(instrument)
        ]

    for instrument in measurements.instruments:
        is_counter = instrument.kind == "counter"
        create = meter.create_observable_counter if is_counter else meter.create_observable_gauge
        create(
            instrument.name,
            callbacks=[observations(instrument)],
            unit=instrument.unit,
            description=instrument.help,
        )


def _imported(module: str, extra: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        message = f"this needs a package that is missing: install experiment-framework[{extra}]"
        raise UnsupportedError(message) from error

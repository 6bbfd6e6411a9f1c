"""The figures that operators see add up as the ledger does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework._measurements import INSTRUMENTS
from experiment_framework.dataplane_options import DeadLetterOptions, SpoolOptions
from experiment_framework.metrics import (
    PROMETHEUS_CONTENT_TYPE,
    PrometheusCollector,
    observe,
    prometheus_name,
    prometheus_text,
)
from experiment_framework.plugin import Health
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sinks import BatchSink, Control, SelfQueueing

MakePlane = Callable[..., DataPlane]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"experiment_framework_{name}", frozenset(labels.items())]


@pytest.fixture
def plane(
    make_plane: MakePlane, sink: BatchSink, control: Control, exposure: Exposure
) -> DataPlane:
    """Four events delivered, one failed."""
    plane = make_plane(sink, batch_size=1, retry_deadline_ms=0)
    for _ in range(3):
        plane.publish(exposure)
    plane.flush(5)
    control.fail_next(OSError("no"))
    plane.publish(exposure)
    plane.flush(5)
    plane.publish(exposure)
    plane.flush(5)
    return plane


def test_prometheus_text_has_the_ledger(plane: DataPlane) -> None:
    samples = parsed(prometheus_text(plane))
    assert value(samples, "events_offered_total") == 5
    assert value(samples, "events_delivered_total") == 4
    assert value(samples, "events_failed_total") == 1
    assert value(samples, "events_pending") == 0
    assert value(samples, "queue_fill_ratio") == 0


def test_drops_are_told_apart_by_reason(make_plane: MakePlane, exposure: Exposure) -> None:
    plane = make_plane(BatchSink())
    plane.close()
    plane.publish(exposure)
    samples = parsed(prometheus_text(plane))
    assert value(samples, "events_dropped_total", reason="closed") == 1


def test_health_is_one_for_the_status_it_has(plane: DataPlane) -> None:
    plane.close()
    samples = parsed(prometheus_text(plane))
    assert value(samples, "health_status", status="UNHEALTHY") == 1
    assert value(samples, "health_status", status="HEALTHY") == 0


def test_losses_by_experiment_and_variant_are_there_where_they_are_asked_for(
    plane: DataPlane,
) -> None:
    labels = {"event_type": "Exposure", "experiment": "checkout", "variant": "treatment"}
    samples = parsed(prometheus_text(plane, by_variant=True))
    assert value(samples, "variant_events_total", fate="failed", **labels) == 1
    assert b"variant_events" not in prometheus_text(plane)


def test_several_data_planes_are_told_apart_by_their_names(
    plane: DataPlane, make_plane: MakePlane
) -> None:
    samples = parsed(prometheus_text({"web": plane, "jobs": make_plane(BatchSink())}))
    assert value(samples, "events_offered_total", data_plane="web") == 5
    assert value(samples, "events_offered_total", data_plane="jobs") == 0


def test_a_collector_works_in_the_registry_of_an_application(plane: DataPlane) -> None:
    registry = CollectorRegistry()
    registry.register(PrometheusCollector(plane))
    assert registry.get_sample_value("experiment_framework_events_offered_total") == 5
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(PrometheusCollector(plane))


def test_the_content_type_is_that_of_the_text_format() -> None:
    assert PROMETHEUS_CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def collected(reader: InMemoryMetricReader) -> dict[str, list[NumberDataPoint]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: list(metric.data.data_points)  # type: ignore[arg-type]  # numbers all
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_opentelemetry_collects_the_same_figures(plane: DataPlane) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(plane, provider)
    found = collected(reader)
    assert [point.value for point in found["experiment_framework.events.delivered"]] == [4]
    statuses = {
        (point.attributes or {})["status"]: point.value
        for point in found["experiment_framework.health.status"]
    }
    assert sum(statuses.values()) == 1
    provider.shutdown()


def test_figures_of_one_collection_add_up(plane: DataPlane) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe({"web": plane}, provider)
    found = collected(reader)
    (offered,) = found["experiment_framework.events.offered"]
    settled = sum(
        point.value
        for fate in ("delivered", "failed", "pending", "refused", "disabled", "sampled_out")
        for point in found[f"experiment_framework.events.{fate}"]
    )
    assert (offered.value, dict(offered.attributes or {})) == (settled, {"data_plane": "web"})
    provider.shutdown()


EVERY_DETAIL = {
    "queueFill": 0.5,
    "oldestPendingAgeSeconds": 3.5,
    "lastDeliveryAgeSeconds": 4.5,
    "brokersReachable": 2,
    "missingTopics": ["a", "b"],
    "isFatal": True,
    "producersReplaced": 1,
}


class Detailed(SelfQueueing):
    """A sink that has all the figures that a client such as Kafka's has."""

    def health(self) -> Health:
        return Health(details=EVERY_DETAIL)


def test_every_figure_of_health_is_shown(make_plane: MakePlane, tmp_path: Path) -> None:
    letters = DeadLetterOptions(path=tmp_path / "dead.jsonl")
    spool = SpoolOptions(directory=tmp_path / "spool")
    plane = make_plane(Detailed(), spool=spool, dead_letters=letters)
    samples = parsed(prometheus_text(plane))
    shown = {
        "queue_fill_ratio": 0.5,
        "oldest_pending_age_seconds": 3.5,
        "last_delivery_age_seconds": 4.5,
        "brokers_reachable": 2,
        "topics_missing": 2,
        "client_fatal": 1,
        "clients_replaced_total": 1,
        "oldest_spooled_age_seconds": 0,
        "spool_size_bytes": 0,
        "spool_fill_ratio": 0,
        "spool_corrupt": 0,
        "spool_replayed_total": 0,
        "dead_letters_written_total": 0,
        "dead_letters_lost_total": 0,
        "breaker_open": 0,
        "ready": 1,
    }
    assert {name: value(samples, name) for name in shown} == shown


def test_no_figure_is_left_out_of_a_data_plane_that_has_them_all(
    make_plane: MakePlane, exposure: Exposure, tmp_path: Path
) -> None:
    letters = DeadLetterOptions(path=tmp_path / "dead.jsonl")
    spool = SpoolOptions(directory=tmp_path / "spool")
    closed = make_plane(BatchSink())
    closed.close()
    closed.publish(exposure)  # so that there is a drop
    plane = make_plane(Detailed(), spool=spool, dead_letters=letters)
    text = prometheus_text(plane) + prometheus_text(closed, by_variant=True)
    names = {name for name, _ in parsed(text)}
    assert {prometheus_name(each) for each in INSTRUMENTS} <= names


def test_names_of_applications_that_are_no_identifiers_come_through(
    make_plane: MakePlane, sink: BatchSink
) -> None:
    name = 'a "quoted"\\ name\nof two lines'
    plane = make_plane(sink)
    plane.publish(Exposure(experiment_name=name, variant_key="ü", subject_id="s"))
    plane.flush(5)
    samples = parsed(prometheus_text({"{web}": plane}, by_variant=True))
    labels = {"data_plane": "{web}", "event_type": "Exposure", "experiment": name, "variant": "ü"}
    assert value(samples, "variant_events_total", fate="offered", **labels) == 1


@pytest.mark.parametrize("name", ["memory", "file", "kafka"])
def test_the_age_of_what_waits_is_shown_for_each_backplane(
    name: str, tmp_path: Path, exposure: Exposure
) -> None:
    options: dict[str, object] = {
        "memory": {},
        "file": {"path": str(tmp_path / "events.jsonl")},
        "kafka": {"brokers": ["127.0.0.1:1"]},
    }[name]
    backplane = {"type": name, "options": options}
    declared = {"flushIntervalMs": 3_600_000, "closeTimeoutMs": 100, "backplane": backplane}
    with DataPlane.from_config({"experimentFramework": {"dataPlane": declared}}) as plane:
        plane.publish(exposure)
        text = prometheus_text(plane)
        assert (b"oldest_pending_age_seconds " in text) == (name != "memory")
        assert (b"last_delivery_age_seconds " in text) == (name == "memory")


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("prometheus_client", "prometheus_text", "prometheus"),
        ("opentelemetry", "observe", "opentelemetry-metrics"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(module: str, call: str, extra: str) -> None:
    program = f"""
import sys
sys.modules[{module!r}] = None
from experiment_framework import metrics
from experiment_framework.errors import UnsupportedError
try:
    metrics.{call}(None)
except UnsupportedError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert f"install experiment-framework[{extra}]" in done.stdout, done.stderr

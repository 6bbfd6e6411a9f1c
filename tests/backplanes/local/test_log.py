from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
import pytest
from experiment_framework.envelope import Record, decode
from experiment_framework.plugin import DeliveryError
from experiment_framework_local import LoggingBackplane, LoggingOptions


def test_each_event_is_one_line_of_json(
    records: Callable[[int], list[Record]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "experiment_framework.events")
    written = records(3)
    LoggingBackplane().write_batch(written)
    assert [line.getMessage() for line in caplog.records] == [
        record.body.decode() for record in written
    ]
    assert all("\n" not in line.getMessage() for line in caplog.records)
    assert {line.levelname for line in caplog.records} == {"INFO"}
    assert {line.name for line in caplog.records} == {"experiment_framework.events"}


def test_the_fields_are_attributes_of_the_log_line(
    record: Callable[..., Record], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "my.events")
    written = record("user-7", tenant_id="acme")
    LoggingBackplane(LoggingOptions(logger="my.events", level="WARNING")).write_batch([written])
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert line.name == "my.events"
    found = {
        name: getattr(line, name)
        for name in ("event_id", "event_type", "experiment_name", "variant_key")
    }
    assert found == {
        "event_id": written.event_id,
        "event_type": "Exposure",
        "experiment_name": "checkout",
        "variant_key": "treatment",
    }
    assert (line.subject_id, line.tenant_id, line.correlation_id) == ("user-7", "acme", None)
    assert decode(msgspec.json.encode(line.envelope)) == decode(written.body)


def test_percent_signs_in_an_event_are_text(
    record: Callable[..., Record], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    written = record("100 %s %(name)s")
    LoggingBackplane().write_batch([written])
    assert caplog.records[0].getMessage() == written.body.decode()


def test_a_level_that_the_logger_discards_fails_the_delivery(
    records: Callable[[int], list[Record]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "quiet.events")
    backplane = LoggingBackplane(LoggingOptions(logger="quiet.events"))
    with pytest.raises(DeliveryError, match=r"quiet\.events discards INFO: set its level"):
        backplane.write_batch(records(1))
    assert backplane.health().status == "UNHEALTHY"
    caplog.set_level(logging.INFO, "quiet.events")
    assert backplane.health().is_healthy


def test_a_logger_without_a_handler_fails_the_delivery(
    records: Callable[[int], list[Record]],
) -> None:
    logger = logging.getLogger("lonely.events")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    backplane = LoggingBackplane(LoggingOptions(logger="lonely.events"))
    with pytest.raises(DeliveryError, match="has no handler for INFO"):
        backplane.write_batch(records(1))


def test_the_handler_of_last_resort_is_good_enough_for_a_warning(
    records: Callable[[int], list[Record]], capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("lonely.warnings")
    logger.propagate = False
    backplane = LoggingBackplane(LoggingOptions(logger="lonely.warnings", level="WARNING"))
    written = records(1)
    backplane.write_batch(written)
    assert capsys.readouterr().err == written[0].body.decode() + "\n"

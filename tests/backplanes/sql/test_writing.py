from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from databases import Target
from experiment_framework.envelope import Envelope, Record, encode
from experiment_framework.events import Assignment, ErrorEvent, Exposure
from experiment_framework.plugin import Permanent, Query, Retryable, decode
from experiment_framework_sql import SqlBackplane
from experiment_framework_sql.inserting import COPY_FROM

MakeBackplane = Callable[..., SqlBackplane]
MakeRecord = Callable[..., Record]
MakeRecords = Callable[[int], list[Record]]

MANY = COPY_FROM + 50
NUL = "user-\x00"


def bodies(backplane: SqlBackplane, **query: Any) -> list[bytes]:
    return [stored.body for stored in backplane.read(Query(**query))]


@pytest.mark.parametrize("count", [1, 7, MANY, 2 * MANY])
def test_a_batch_arrives_whole_and_in_order(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords, count: int
) -> None:
    backplane = make_backplane(target)
    batch = records(count)
    backplane.write_batch(batch)
    assert target.event_ids() == [record.event_id for record in batch]
    assert backplane.health().details["rowsWritten"] == count


def test_columns_say_what_the_event_says(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord
) -> None:
    happened = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=2)))
    event = Exposure(
        experiment_name="check\\out\t1",
        variant_key="b",
        subject_id="ü\n\\N",
        subject_type="user",
        tenant_id="acme",
        timestamp=happened,
        attributes={"a": [1, 2.5, None], "text": 'q"\\ '},
    )
    made = encode(Envelope.around(event, correlation_id="req-1", metadata={"host": "web-1"}))
    outcome = record("user-2", metric_name="revenue", outcome_type="Continuous", value=2.5)
    make_backplane(target).write_batch([made, outcome])
    columns = (
        "event_id, event_type, schema_version, experiment_name, variant_key, subject_id, "
        "subject_type, tenant_id, correlation_id, metric_name, value"
    )
    first, second = target.query(f"SELECT {columns} FROM experiment_events ORDER BY id")  # noqa: S608  # ours
    assert first == (
        made.event_id,
        *("Exposure", "1.0.0", "check\\out\t1", "b", "ü\n\\N", "user", "acme", "req-1", None, None),
    )
    assert second[1] == "Outcome"
    assert second[-2:] == ("revenue", 2.5)
    ((occurred, published, created, payload, metadata),) = target.query(
        "SELECT occurred_at, timestamp, created_at, payload, metadata FROM experiment_events "
        "WHERE event_type = 'Exposure'"
    )
    if target.kind == "sqlite":
        occurred, published, created = (
            datetime.fromisoformat(each).replace(tzinfo=UTC)
            for each in (occurred, published, created)
        )
        payload, metadata = json.loads(payload), json.loads(metadata)
    assert occurred == happened
    assert abs(created - published) < timedelta(minutes=1)
    assert payload["attributes"] == {"a": [1, 2.5, None], "text": 'q"\\ '}
    assert metadata == {"host": "web-1"}


@pytest.mark.parametrize("count", [3, MANY])
def test_an_event_that_is_there_is_left_out(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords, count: int
) -> None:
    backplane = make_backplane(target)
    first, second = records(count), records(count)
    backplane.write_batch([*first, first[0]])
    backplane.write_batch([*first[-2:], *second])
    ids = [record.event_id for record in (*first, *second)]
    assert target.event_ids() == ids
    assert backplane.health().details["repeatsLeftOut"] == 3


@pytest.mark.parametrize("count", [3, MANY])
def test_without_idempotency_repeats_are_kept(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords, count: int
) -> None:
    backplane = make_backplane(target, enable_idempotency=False)
    batch = records(count)
    backplane.write_batch(batch)
    backplane.write_batch(batch)
    assert target.event_ids() == [record.event_id for record in batch] * 2


def test_what_is_read_back_is_what_was_written_byte_for_byte(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord
) -> None:
    backplane = make_backplane(target)
    odd = {"zero": -0.0, "large": 1.7976931348623157e308, "small": 5e-324, "big": 2**63, "n": 1e23}
    texts = {"nul": "\x00", "line": "a\nb\tc\\d", "quote": '"', "emoji": "🦜", "sep": "\u2028"}
    made = [
        record(attributes=odd),
        record(attributes=texts, experiment_name="naïve"),
        encode(
            Envelope.around(
                Assignment(
                    experiment_name="e", subject_id="s", new_variant_key="b", change_reason="r"
                )
            )
        ),
        encode(Envelope.around(ErrorEvent(error_type="E", message="m" * 1_000_000))),
        encode(msgspec.structs.replace(decode(record().body), extra={"shard": 7})),
    ]
    newer = decode(record().body)
    newer = msgspec.structs.replace(newer, event_type="Novelty", payload={"subjectId": 7, "x": []})
    made.append(encode(newer))
    backplane.write_batch(made)
    assert bodies(backplane) == [each.body for each in made]


@pytest.mark.parametrize("count", [9, MANY, 300])
def test_a_row_that_is_refused_is_given_up_alone(
    postgresql: Target, make_backplane: MakeBackplane, record: MakeRecord, count: int
) -> None:
    """PostgreSQL has no text with U+0000."""
    backplane = make_backplane(postgresql)
    bad = [record(NUL), record(NUL)]
    good = [record(f"user-{index}") for index in range(count)]
    batch = [bad[0], *good[:4], bad[1], *good[4:]]
    with pytest.raises(Permanent) as caught:
        backplane.write_batch(batch)
    assert caught.value.records == tuple(bad)
    assert "character" in caught.value.reason
    assert postgresql.event_ids() == [each.event_id for each in good]
    assert backplane.health().is_healthy


def test_a_row_that_the_table_refuses_is_given_up_alone_without_its_values(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord, records: MakeRecords
) -> None:
    backplane = make_backplane(target)
    target.query("DROP TABLE IF EXISTS other")
    condition = "experiment_name <> 'canary-name'"
    if target.kind == "sqlite":
        target.query(
            "CREATE TRIGGER no_canary BEFORE INSERT ON experiment_events "
            "WHEN NEW.experiment_name = 'canary-name' BEGIN SELECT RAISE(ABORT, 'canary'); END"
        )
    else:
        target.query(f"ALTER TABLE experiment_events ADD CHECK ({condition})")
    good, bad = records(MANY), record(experiment_name="canary-name", subject_id="canary-subject")
    with pytest.raises(Permanent) as caught:
        backplane.write_batch([*good, bad])
    assert caught.value.records == (bad,)
    assert "canary" not in caught.value.reason
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert target.event_ids() == [each.event_id for each in good]


def test_a_batch_larger_than_batch_size_takes_several_transactions(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(target, batch_size=4)
    batch = records(10)
    backplane.write_batch(batch)
    assert target.event_ids() == [record.event_id for record in batch]
    if target.kind == "postgresql":
        ((transactions,),) = target.query(
            "SELECT count(DISTINCT xmin::text) FROM experiment_events"
        )
        assert transactions == 3


def test_a_table_that_is_gone_can_be_made_again(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(target)
    batch = records(3)
    backplane.write_batch(batch)
    for view in ("experiment_summary", "exposures", "outcomes"):
        target.query(f"DROP VIEW {view}")
    target.query("DROP TABLE experiment_events")
    target.query("DROP TABLE experiment_events_migrations")
    with pytest.raises(Retryable, match="experiment provision") as caught:
        backplane.write_batch(batch)
    assert caught.value.records == tuple(batch)
    assert "experiment provision" in backplane.health().message
    backplane.provision()
    backplane.write_batch(batch)
    assert len(target.event_ids()) == 3
    assert backplane.health().is_healthy


def test_several_threads_may_ask_for_health_while_it_writes(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(target)
    stop = threading.Event()
    unhealthy: list[str] = []

    def look() -> None:
        while not stop.wait(0.001):
            health = backplane.health()
            if health.status == "UNHEALTHY":
                unhealthy.append(health.message)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    batches = [records(50) for _ in range(10)]
    for batch in batches:
        backplane.write_batch(batch)
    stop.set()
    for thread in threads:
        thread.join()
    assert unhealthy == []
    assert len(target.event_ids()) == 500


def test_an_account_that_may_have_no_temporary_tables_writes_all_the_same(
    postgresql: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    make_backplane(postgresql)
    postgresql.query("REVOKE TEMPORARY ON DATABASE experiments FROM PUBLIC")
    postgresql.query("DROP ROLE IF EXISTS writer")
    postgresql.query("CREATE ROLE writer LOGIN PASSWORD 'w'")
    postgresql.query("GRANT SELECT, INSERT ON experiment_events TO writer")
    postgresql.query("GRANT SELECT ON experiment_events_migrations TO writer")
    url = postgresql.url.replace("experiments:canary-p4ssw0rd@", "writer:w@")
    writer = make_backplane(Target(url, "postgresql"), provision=False)
    batch = records(MANY)
    writer.write_batch(batch)
    assert postgresql.event_ids() == [record.event_id for record in batch]
    writer.close(5)
    postgresql.query("DROP OWNED BY writer")
    postgresql.query("DROP ROLE writer")

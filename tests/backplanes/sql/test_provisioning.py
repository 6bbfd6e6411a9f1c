from __future__ import annotations

import logging
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from databases import Target
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Retryable
from experiment_framework_sql import SqlBackplane, SqlOptions
from experiment_framework_sql.migrations import LATEST, MIGRATIONS

MakeBackplane = Callable[..., SqlBackplane]
MakeRecords = Callable[[int], list[Record]]

VIEWS = ("exposures", "outcomes", "experiment_summary")


def script_of(url: str, **options: str) -> str:
    return SqlBackplane(SqlOptions(url=url, **options)).provision_script()


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [each.version for each in MIGRATIONS] == list(range(1, LATEST + 1))


def test_provisioning_again_changes_nothing(target: Target, make_backplane: MakeBackplane) -> None:
    backplane = make_backplane(target, provision=False)
    assert {each.action for each in backplane.provision()} == {"created"}
    target.query(
        "INSERT INTO experiment_events (event_id, timestamp, occurred_at, event_type, "
        "schema_version, payload, metadata) VALUES ('1', '2026-01-01', '2026-01-01', 'Novelty', "
        "'1.0.0', '{}', '{}')"
    )
    assert {each.action for each in backplane.provision()} == {"exists"}
    assert target.event_ids() == ["1"]
    versions = target.query("SELECT version FROM experiment_events_migrations ORDER BY version")
    assert [row[0] for row in versions] == list(range(1, LATEST + 1))


def test_what_people_join_on_is_indexed(target: Target, make_backplane: MakeBackplane) -> None:
    make_backplane(target)
    made = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE tablename = 'experiment_events'",
    }
    statements = [row[0] for row in target.query(made[target.kind])]
    found = {re.findall(r"\((.*?)\)", each)[0] for each in statements}

    assert found >= {
        "event_id",
        "experiment_name, variant_key, event_type",
        "subject_id, experiment_name",
        "tenant_id",
        "occurred_at",
    }
    assert any("UNIQUE" in each and "(event_id)" in each for each in statements)


def test_only_what_is_missing_is_applied(target: Target, make_backplane: MakeBackplane) -> None:
    backplane = make_backplane(target)
    for view in reversed(VIEWS):
        target.query(f"DROP VIEW {view}")
    target.query("DELETE FROM experiment_events_migrations WHERE version = 2")
    backplane._pulse.ask()
    assert backplane.health().status == "DEGRADED"
    assert "migration 1 of 2" in backplane.health().message
    assert [each.action for each in backplane.provision()] == ["exists", "created"]
    assert backplane.health().is_healthy


def test_several_processes_may_provision_at_once(
    target: Target, make_backplane: MakeBackplane
) -> None:
    backplanes = [make_backplane(target, provision=False) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda backplane: backplane.provision(), backplanes))
    created = [each for provisioned in done for each in provisioned if each.action == "created"]
    assert len(created) == LATEST


def test_a_table_that_is_missing_is_told_when_it_is_opened_and_by_health_and_when_it_is_written_to(
    target: Target,
    make_backplane: MakeBackplane,
    records: MakeRecords,
    caplog: pytest.LogCaptureFixture,
) -> None:
    backplane = make_backplane(target, provision=False)
    (line,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert "experiment provision" in line.getMessage()
    assert backplane.health().status == "UNHEALTHY"
    assert "experiment provision" in backplane.health().message
    with pytest.raises(Retryable, match="experiment provision"):
        backplane.write_batch(records(1))


def test_auto_migrate_makes_it(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    backplane = make_backplane(target, provision=False, auto_migrate=True)
    backplane.write_batch(records(2))
    assert len(target.event_ids()) == 2
    assert backplane.health().is_healthy


def test_the_script_makes_what_provisioning_makes(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    script = script_of(target.url)
    if target.kind == "sqlite":
        with closing(sqlite3.connect(target.url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(script)
    else:
        with psycopg.connect(target.url) as connection:
            connection.execute(script.encode())
    backplane = make_backplane(target, provision=False)
    assert {each.action for each in backplane.provision()} == {"exists"}
    backplane.write_batch(records(2))
    assert len(target.query("SELECT * FROM exposures")) == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql+pymysql://host/db", ("LONGTEXT", "utf8mb4_bin", "DATETIME(6)")),
        ("mariadb+pymysql://host/db", ("LONGTEXT", "utf8mb4_bin")),
        ("mssql+pyodbc://host/db", ("DATETIME2(6)", "BIN2", "\nGO\n", "IDENTITY")),
        ("postgresql://host/db", ("BIGINT GENERATED BY DEFAULT AS IDENTITY", "JSON")),
    ],
)
def test_a_script_is_written_without_a_database_or_its_driver(
    url: str, said: tuple[str, ...]
) -> None:
    script = script_of(url, schema="analytics", table_name="events", view_prefix="app_")
    for part in (*said, "analytics.events", "app_exposures", "ix_events_event_id"):
        assert part in script


def test_a_keyword_as_a_name_is_quoted(postgresql: Target, make_backplane: MakeBackplane) -> None:
    postgresql.query('CREATE SCHEMA "Order"')
    backplane = make_backplane(postgresql, schema="Order", table_name="select", view_prefix="Q_")
    assert backplane.health().is_healthy
    assert postgresql.query('SELECT count(*) FROM "Order"."Q_exposures"') == [(0,)]


def test_two_tables_live_in_one_database(
    target: Target, make_backplane: MakeBackplane, records: MakeRecords
) -> None:
    one = make_backplane(target)
    other = make_backplane(target, table_name="others", view_prefix="other_")
    one.write_batch(records(2))
    other.write_batch(records(150))
    assert (len(target.event_ids()), len(target.event_ids("others"))) == (2, 150)
    assert len(target.query("SELECT * FROM other_exposures")) == 150


def test_a_view_of_somebody_else_is_not_replaced(
    target: Target, make_backplane: MakeBackplane
) -> None:
    target.query("CREATE VIEW outcomes AS SELECT 1 AS mine")
    backplane = make_backplane(target, provision=False)
    with pytest.raises(DeliveryError, match="cannot be provisioned"):
        backplane.provision()
    assert target.query("SELECT mine FROM outcomes") == [(1,)]
    # All or nothing: it can be tried again with another prefix.
    assert backplane.health().details["migration"] == 0


def provision_sql(folder: Path, backplane: str) -> subprocess.CompletedProcess[str]:
    config = folder / "experiments.yaml"
    config.write_text(f"experimentFramework: {{dataPlane: {{backplane: {backplane}}}}}")
    return subprocess.run(
        [Path(sys.executable).with_name("experiment"), "provision", "--sql", config],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_prints_the_script_and_touches_nothing(tmp_path: Path) -> None:
    url = "sqlite:///experiments.db"
    done = provision_sql(tmp_path, f"{{type: sql, options: {{url: '{url}'}}}}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip() == script_of(url).rstrip()
    assert [path.name for path in tmp_path.iterdir()] == ["experiments.yaml"]


def test_the_command_says_where_there_is_no_sql_to_print(tmp_path: Path) -> None:
    done = provision_sql(tmp_path, "{type: memory}")
    assert done.returncode == 1
    assert "the backplane memory is not provisioned with SQL" in done.stderr


def test_a_schema_that_is_not_there_is_answered_with_what_makes_one(
    postgresql: Target, make_backplane: MakeBackplane
) -> None:
    backplane = make_backplane(postgresql, provision=False, schema="nowhere")
    with pytest.raises(DeliveryError, match=r"no such schema .*`CREATE SCHEMA` first") as caught:
        backplane.provision()
    assert "experiment provision" not in str(caught.value)


def test_a_table_that_auto_migrate_cannot_make_is_told_with_why(
    tmp_path: Path, make_backplane: MakeBackplane
) -> None:
    folder = tmp_path / "database"
    target = Target(f"sqlite:///{folder}/experiments.db", "sqlite")
    backplane = make_backplane(target, provision=False, auto_migrate=True)
    assert backplane._pulse.ask() is None  # it can be looked for: there is none
    (reason,) = backplane.health().reasons
    assert "`autoMigrate` cannot make it: cannot open " in reason
    assert "or set `autoMigrate" not in reason

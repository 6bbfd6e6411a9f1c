from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from databases import Target
from experiment_framework.envelope import Record
from experiment_framework_sql import SqlBackplane

MakeBackplane = Callable[..., SqlBackplane]
MakeRecord = Callable[..., Record]

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_exposures_and_outcomes_are_told_apart(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord
) -> None:
    made = [record("a", tenant_id="acme"), record("a", metric_name="revenue", value=3)]
    make_backplane(target).write_batch(made)
    columns = "experiment_name, variant_key, subject_id, tenant_id"
    assert target.query(f"SELECT {columns} FROM exposures") == [  # noqa: S608  # ours
        ("checkout", "treatment", "a", "acme")
    ]
    assert target.query("SELECT subject_id, metric_name, value FROM outcomes") == [
        ("a", "revenue", 3.0)
    ]


def test_the_summary_counts_each_variant_and_metric(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord
) -> None:
    def exposure(subject: str, variant: str, hour: int) -> Record:
        moment = START + timedelta(hours=hour)
        return record(subject, variant_key=variant, timestamp=moment)

    def outcome(subject: str, metric: str, value: float, variant: str | None = None) -> Record:
        kind = "Continuous"
        return record(
            subject, metric_name=metric, outcome_type=kind, value=value, variant_key=variant
        )

    make_backplane(target).write_batch(
        [
            exposure("a", "control", 0),
            exposure("a", "control", 1),
            exposure("b", "control", 2),
            exposure("c", "treatment", 1),
            exposure("d", "treatment", 2),
            # It saw the other one later: what names no variant belongs to the first.
            exposure("c", "control", 5),
            outcome("a", "revenue", 10, "control"),
            outcome("a", "revenue", 30, "control"),
            outcome("c", "revenue", 5),
            outcome("c", "clicks", 1),
            outcome("stranger", "revenue", 1000),
        ]
    )
    columns = (
        "variant_key, metric_name, exposures, subjects, outcomes, subjects_with_outcome, "
        "value_sum, value_mean"
    )
    found = target.query(f"SELECT {columns} FROM experiment_summary ORDER BY 1, 2")  # noqa: S608  # ours
    assert found == [
        ("control", "revenue", 4, 3, 2, 1, 40.0, 20.0),
        ("treatment", "clicks", 2, 2, 1, 1, 1.0, 1.0),
        ("treatment", "revenue", 2, 2, 1, 1, 5.0, 5.0),
    ]


def test_a_variant_without_an_outcome_is_in_the_summary(
    target: Target, make_backplane: MakeBackplane, record: MakeRecord
) -> None:
    make_backplane(target).write_batch([record("a")])
    columns = "experiment_name, variant_key, subjects, metric_name, outcomes, value_sum"
    assert target.query(f"SELECT {columns} FROM experiment_summary") == [  # noqa: S608  # ours
        ("checkout", "treatment", 1, None, 0, None)
    ]

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiment_framework_kafka import EmbeddedKafka

PROGRAM = "swapping_backplanes.py"


def test_one_program_reads_the_same_events_back_from_kafka_and_from_a_file(
    run: Callable[..., str], tmp_path: Path
) -> None:
    with EmbeddedKafka() as kafka:
        from_kafka = run(
            PROGRAM,
            "experiment_definitions/swap-kafka.yaml",
            KAFKA_BROKERS=kafka.bootstrap_servers,
        )
    from_file = run(
        PROGRAM,
        "experiment_definitions/swap-file.yaml",
        EVENTS_PATH=str(tmp_path / "events.jsonl"),
    )

    assert from_kafka == from_file
    assert from_file.splitlines() == [
        f"user-{number} saw {'green' if number % 2 else 'blue'}" for number in range(5)
    ]


def test_the_two_configurations_differ_in_the_backplane_only(samples: Path) -> None:
    kafka, file = (
        (samples / "experiment_definitions" / name).read_text(encoding="utf-8").splitlines()
        for name in ("swap-kafka.yaml", "swap-file.yaml")
    )

    assert kafka[:3] == file[:3]
    assert kafka[2].strip() == "backplane:"

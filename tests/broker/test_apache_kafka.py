"""The real broker itself: what later tests build on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from apache_kafka import ApacheKafka
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka_audit import create_topics, send, stored_records


def test_broker_keeps_its_ports_and_data_through_a_restart_and_a_crash(
    apache_kafka: type[ApacheKafka], tmp_path: Path
) -> None:
    with apache_kafka(tmp_path / "node") as broker:
        servers = broker.bootstrap_servers
        create_topics(servers, {"kept": 2})
        send(servers, "kept", [b"one"])
        broker.restart()
        send(servers, "kept", [b"two"])
        broker.kill()
        broker.start()
        assert broker.bootstrap_servers == servers
        assert sorted(record.value for record in stored_records(servers, "kept")) == [
            b"one",
            b"two",
        ]


def test_frozen_broker_answers_again_after_it_resumes(kafka_broker: ApacheKafka) -> None:
    client = AdminClient({"bootstrap.servers": kafka_broker.bootstrap_servers})
    kafka_broker.pause()
    try:
        with pytest.raises(KafkaException):
            client.list_topics(timeout=1)
    finally:
        kafka_broker.resume()
    assert client.list_topics(timeout=20).brokers


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from apache_kafka import ApacheKafka
broker = ApacheKafka(Path({node!r}))
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
"""


def test_broker_does_not_outlive_a_test_run_that_was_killed(
    apache_kafka: type[ApacheKafka], tmp_path: Path
) -> None:
    folder = str(Path(__file__).parent)
    script = PARENT.format(folder=folder, node=str(tmp_path / "node"))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        broker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        broker.wait(timeout=10)
    assert not broker.is_running()


@pytest.mark.parametrize("required", [False, True])
def test_missing_java_skips_with_its_reason_unless_the_broker_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text())
    pytester.makepyfile("def test_it(kafka_broker): ...\ndef test_other(): ...")
    monkeypatch.setenv("PATH", str(pytester.path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("EXPERIMENT_REQUIRE_BROKER", raising=False)
    if required:
        monkeypatch.setenv("EXPERIMENT_REQUIRE_BROKER", "1")
    result = pytester.runpytest("-rs", "-p", "no:cacheprovider", "-p", "no:asyncio")
    if required:
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["*EXPERIMENT_REQUIRE_BROKER is set, and no java on PATH*"])
    else:
        result.assert_outcomes(passed=1, skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED*needs Apache Kafka: no java on PATH*"])

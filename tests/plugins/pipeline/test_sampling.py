from __future__ import annotations

import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from experiment_framework import ConfigError, DataPlane
from experiment_framework.envelope import Envelope, decode
from experiment_framework.events import AnalysisSignal, Assignment, ErrorEvent, Exposure, Outcome
from experiment_framework.plugin import Phase, SampledOut
from experiment_framework_local import MemoryBackplane
from experiment_framework_pipeline import Sampling, SamplingOptions
from hypothesis import given
from hypothesis import strategies as st

VECTORS = json.loads((Path(__file__).parent / "sampling_vectors.json").read_text("utf-8"))

SUBJECTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
RATES = st.floats(0, 1)


def sampling(rate: float, salt: str = "") -> Sampling:
    return Sampling(SamplingOptions(sampling_rate=rate, sampling_salt=salt))


def exposure(subject_id: str, **fields: Any) -> Exposure:
    return Exposure(experiment_name="checkout", variant_key="a", subject_id=subject_id, **fields)


def is_in(step: Sampling, event: Any) -> bool:
    return isinstance(step.apply(Envelope.around(event)), Envelope)


def stamped(step: Sampling, event: Any, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = step.apply(Envelope.around(event, metadata=metadata))
    assert isinstance(answer, Envelope)
    return answer.metadata


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["hash"])
def test_the_choice_is_that_of_the_published_examples(vector: dict[str, Any]) -> None:
    salt, subject_id = vector["salt"], vector["subjectId"]
    assert is_in(sampling(0.1, salt), exposure(subject_id)) is vector["in_at_0_1"]
    assert is_in(sampling(0.5, salt), exposure(subject_id)) is vector["in_at_0_5"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["hash"])
def test_a_subject_is_in_from_the_rate_that_is_just_above_its_hash(vector: dict[str, Any]) -> None:
    salt, event = vector["salt"], exposure(vector["subjectId"])
    position = Fraction(int(vector["hash"], 16), 2**64)
    above = math.ldexp(int(vector["hash"], 16), -64)
    while Fraction(above) <= position:
        above = math.nextafter(above, 1)
    below = math.nextafter(above, 0)
    assert is_in(sampling(above, salt), event)
    assert not is_in(sampling(below, salt), event)


def test_a_rate_that_is_exactly_a_hash_leaves_that_subject_out() -> None:
    class Placed(Sampling):
        def _position(self, subject_id: str) -> int:
            return int(subject_id)

    step = Placed(SamplingOptions(sampling_rate=0.25))
    assert is_in(step, exposure(str(2**62 - 1)))
    assert not is_in(step, exposure(str(2**62)))


@given(SUBJECTS, st.text(max_size=5))
def test_at_rate_one_everybody_is_in_and_at_rate_zero_nobody(subject_id: str, salt: str) -> None:
    assert is_in(sampling(1.0, salt), exposure(subject_id))
    assert not is_in(sampling(0.0, salt), exposure(subject_id))


@given(SUBJECTS, RATES, RATES)
def test_who_is_in_at_one_rate_is_in_at_every_higher_one(
    subject_id: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert is_in(sampling(high), exposure(subject_id)) or not is_in(
        sampling(low), exposure(subject_id)
    )


@given(SUBJECTS, RATES, st.text(max_size=5), st.none() | st.text(max_size=5))
def test_all_events_of_a_subject_share_its_fate(
    subject_id: str, rate: float, salt: str, tenant_id: str | None
) -> None:
    step = sampling(rate, salt)
    events = [
        exposure(subject_id, tenant_id=tenant_id, subject_type="user"),
        Outcome(
            experiment_name="another",
            subject_id=subject_id,
            metric_name="bought",
            outcome_type="Binary",
            value=True,
        ),
        Assignment(
            experiment_name="checkout",
            subject_id=subject_id,
            new_variant_key="b",
            change_reason="ramp",
        ),
        ErrorEvent(error_type="ValueError", message="no", subject_id=subject_id),
    ]
    assert len({is_in(step, event) for event in events}) == 1


def test_an_event_of_a_type_that_is_unknown_here_shares_its_subject_s_fate() -> None:
    step = sampling(0.1)
    for vector in VECTORS[:8]:
        envelope = decode(
            json.dumps(
                {
                    "eventId": "id",
                    "timestamp": "2026-01-02T03:04:05Z",
                    "eventType": "Interaction",
                    "schemaVersion": "1.7.0",
                    "payload": {"subjectId": vector["subjectId"]},
                }
            )
        )
        assert isinstance(step.apply(envelope), Envelope) is vector["in_at_0_1"]


def test_about_as_many_subjects_are_in_as_the_rate_says() -> None:
    step = sampling(0.3)
    share = sum(is_in(step, exposure(f"user-{index}")) for index in range(4000)) / 4000
    assert abs(share - 0.3) < 0.03


def test_another_salt_chooses_other_subjects() -> None:
    subjects = [f"user-{index}" for index in range(200)]
    chosen = {
        salt: {subject for subject in subjects if is_in(sampling(0.5, salt), exposure(subject))}
        for salt in ("", "2026-q1")
    }
    assert chosen[""] != chosen["2026-q1"]


def test_events_without_a_subject_are_always_in_and_stand_for_themselves() -> None:
    step = sampling(0.0)
    signal = AnalysisSignal(experiment_name="checkout", signal_type="Custom", message="look")
    error = ErrorEvent(error_type="ValueError", message="no")
    assert stamped(step, signal) == {}
    assert stamped(step, error, {"origin": "batch"}) == {"origin": "batch"}


class TestStamp:
    def test_a_rate_below_one_is_in_the_metadata(self) -> None:
        assert stamped(sampling(0.5), exposure("user-1")) == {"samplingRate": 0.5}

    def test_other_metadata_stay_and_the_caller_s_dict_is_left_alone(self) -> None:
        given_by_caller = {"origin": "batch"}
        assert stamped(sampling(0.5), exposure("user-1"), given_by_caller) == {
            "origin": "batch",
            "samplingRate": 0.5,
        }
        assert given_by_caller == {"origin": "batch"}

    @pytest.mark.parametrize(
        ("earlier", "now"),
        [
            (0.25, 0.25),
            (0.75, 0.5),
            (0.5, 0.5),
            (1, 0.5),
            (0, 0.5),
            (-1, 0.5),
            (True, 0.5),
            ("0.1", 0.5),
            (None, 0.5),
            (math.nan, 0.5),
        ],
    )
    def test_of_an_event_that_was_sampled_before_the_smaller_rate_counts(
        self, earlier: object, now: float
    ) -> None:
        metadata = stamped(sampling(0.5), exposure("user-1"), {"samplingRate": earlier})
        assert metadata == {"samplingRate": now}


def test_a_step_at_rate_one_is_not_active() -> None:
    assert not sampling(1.0).is_active()
    assert not Sampling(SamplingOptions(sampling_salt="2026-q1")).is_active()
    assert sampling(0.999).is_active()
    assert sampling(0).is_active()
    assert Sampling.phase is Phase.DECIDE


def test_a_subject_that_is_not_unicode_is_left_to_the_encoder() -> None:
    answer = sampling(0.5).apply(Envelope.around(exposure("\ud800")))
    assert isinstance(answer, Envelope | SampledOut)


CHOOSE = """
from experiment_framework import Envelope, Exposure
from experiment_framework_pipeline import Sampling, SamplingOptions

step = Sampling(SamplingOptions(sampling_rate=0.5, sampling_salt="s"))
for index in range(200):
    event = Exposure(experiment_name="checkout", variant_key="a", subject_id=f"user-{index}")
    print(int(isinstance(step.apply(Envelope.around(event)), Envelope)), end="")
"""


def test_every_process_chooses_the_same_subjects() -> None:
    choices = {
        subprocess.run(
            [sys.executable, "-c", CHOOSE],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(choices) == 1
    assert set(choices.pop()) == {"0", "1"}


def test_a_data_plane_counts_who_was_left_out() -> None:
    backplane = MemoryBackplane()
    with DataPlane(backplane, steps=[sampling(0.1)]) as plane:
        answers = [plane.publish(exposure(vector["subjectId"])) for vector in VECTORS[:8]]
        expected = [vector["in_at_0_1"] for vector in VECTORS[:8]]
        assert [answer.status == "accepted" for answer in answers] == expected
        left_out = next(answer for answer in answers if answer.status != "accepted")
        assert (left_out.status, left_out.reason) == ("sampled_out", "sampling")
        stats = plane.stats()
        assert (stats.offered, stats.sampled_out, stats.delivered) == (8, 6, 2)
    assert {envelope.metadata["samplingRate"] for envelope in backplane.envelopes} == {0.1}


def test_an_event_that_is_published_again_through_another_rate_keeps_the_smaller() -> None:
    first, second = MemoryBackplane(), MemoryBackplane()
    with DataPlane(first, steps=[sampling(0.1)]) as plane:
        plane.publish(exposure("user-1"))
    with DataPlane(second, steps=[sampling(0.5)]) as plane:
        for envelope in first.envelopes:
            plane.publish_envelope(envelope)
    (again,) = second.envelopes
    assert again.metadata == {"samplingRate": 0.1}


def configuration(*lines: str) -> str:
    keys = "".join(f"    {line}\n" for line in lines)
    return f"experimentFramework:\n  dataPlane:\n{keys}    backplane: {{type: memory}}\n"


def statuses(source: str) -> list[str]:
    with DataPlane.from_config(source) as plane:
        return [plane.publish(exposure(vector["subjectId"])).status for vector in VECTORS[8:]]


def test_a_configuration_makes_one_step_of_both_keys() -> None:
    expected = ["accepted" if vector["in_at_0_5"] else "sampled_out" for vector in VECTORS[8:]]
    assert statuses(configuration("samplingRate: 0.5", "samplingSalt: 2026-q1")) == expected


def test_a_salt_without_a_rate_leaves_nobody_out() -> None:
    assert set(statuses(configuration("samplingSalt: 2026-q1"))) == {"accepted"}


@pytest.mark.parametrize("written", ["1.01", "-0.1", "half", "true", ".nan", "'0.5'"])
def test_a_rate_that_is_none_is_a_problem_at_its_line(written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DataPlane.from_config(configuration("samplingSalt: x", f"samplingRate: {written}"))
    (problem,) = caught.value.problems
    assert problem.location
    assert problem.location.line == 4
    assert problem.path[-1] == "samplingRate"

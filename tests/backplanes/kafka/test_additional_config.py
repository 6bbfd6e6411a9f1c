from __future__ import annotations

import threading
from typing import Any

import pytest
from experiment_framework.plugin import Problem
from experiment_framework_kafka import KafkaBackplane, KafkaOptions
from experiment_framework_kafka.additional_config import GOVERNED, UNSAFE
from experiment_framework_kafka.properties import PROPERTIES
from hypothesis import given, settings
from hypothesis import strategies as st


def problems(config: dict[str, Any], **arguments: Any) -> list[Problem]:
    options = KafkaOptions(brokers=["localhost:9092"], additional_config=config)
    return list(KafkaBackplane(options, **arguments).check(options))


def test_settings_that_librdkafka_has_pass() -> None:
    config = {
        "socket.keepalive.enable": True,
        "metadata.max.age.ms": 60_000,
        "retry.backoff.ms": "200",
        "debug": "broker,msg",
        "compression.level": 5,
    }
    assert problems(config) == []


def test_checking_starts_no_thread() -> None:
    before = threading.active_count()
    problems({"socket.keepalive.enable": True, "debug": "all", "nonsense": 1})
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("bootstrap_servers", "bootstrap.servers"),
        ("socket.keepalive.enabled", "socket.keepalive.enable"),
        ("Retry.Backoff.Ms", "retry.backoff.ms"),
        ("metadata-max-age-ms", "metadata.max.age.ms"),
    ],
)
def test_a_name_that_librdkafka_does_not_have_gets_a_suggestion(name: str, near: str) -> None:
    (problem,) = problems({name: "1"})
    assert problem.path == ("additionalConfig", name)
    assert near in str(problem.suggestion)


def aliases() -> list[str]:
    return [
        name
        for name, known in PROPERTIES.items()
        if name in GOVERNED
        or known.alias_of in GOVERNED
        or any(PROPERTIES[g].alias_of == name for g in GOVERNED if g in PROPERTIES)
    ]


@pytest.mark.parametrize("name", sorted({*GOVERNED, *aliases()}))
def test_what_an_option_governs_is_refused_under_every_alias(name: str) -> None:
    (problem,) = problems({name: "1"})
    assert "option" in problem.message
    assert problem.suggestion is not None


@pytest.mark.parametrize("name", ["test.mock.num.brokers", "test.mock.broker.rtt", "test.new"])
def test_settings_of_librdkafkas_own_tests_are_refused(name: str) -> None:
    assert len(problems({name: "1"})) == 1


@pytest.mark.parametrize("name", sorted(n for n, p in PROPERTIES.items() if p.scope == "C"))
def test_settings_of_consumers_are_refused(name: str) -> None:
    assert len(problems({name: "1"})) == 1


@pytest.mark.parametrize(
    "name", sorted(n for n, p in PROPERTIES.items() if p.type == "see dedicated API")
)
def test_callbacks_are_refused(name: str) -> None:
    assert len(problems({name: "1"})) == 1


@pytest.mark.parametrize("name", ["on_delivery", "logger", "oauth_cb", "transactional.id"])
def test_what_the_client_library_takes_besides_is_refused(name: str) -> None:
    assert len(problems({name: "1"})) == 1


@pytest.mark.parametrize("name", sorted(UNSAFE))
def test_settings_that_load_libraries_or_run_commands_are_refused_unless_code_allows_them(
    name: str,
) -> None:
    (problem,) = problems({name: "x"})
    assert "allow_unsafe_settings" in str(problem.suggestion)


def test_code_may_allow_them() -> None:
    assert problems({"sasl.kerberos.kinit.cmd": "kinit"}, allow_unsafe_settings=True) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry.backoff.ms", "5s"),
        ("retry.backoff.ms", "1_000"),
        ("retry.backoff.ms", 1.5),
        ("retry.backoff.ms", 0),
        ("socket.keepalive.enable", "yes"),
        ("socket.keepalive.enable", 1),
        ("compression.level", 99),
        ("debug", "everything"),
        ("broker.address.family", "v5"),
    ],
)
def test_values_are_read_strictly(name: str, value: object) -> None:
    (problem,) = problems({name: value})
    assert problem.path == ("additionalConfig", name)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.one_of(st.text(max_size=20), st.sampled_from(sorted(PROPERTIES))),
        st.one_of(
            st.text(max_size=20),
            st.integers(),
            st.booleans(),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=4,
    )
)
def test_whatever_is_written_the_answer_is_a_list_of_problems(config: dict[str, Any]) -> None:
    assert all(problem.path[0] == "additionalConfig" for problem in problems(config))


@pytest.mark.parametrize("name", ["ssl.key.pem", "ssl.keystore.password"])
def test_no_secret_is_ever_shown(name: str) -> None:
    canary = "canary-7f3a"
    options = KafkaOptions(
        brokers=["localhost:9092"], additional_config={name: canary, "nonsense": 1}
    )
    backplane = KafkaBackplane(options)
    shown = str(list(backplane.check(options))) + str(backplane.client_settings(options, 1, 1024))
    assert canary not in shown

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from experiment_framework_kafka import KafkaBackplane, KafkaOptions, SecurityOptions

SASL: dict[str, Any] = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u"}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("one", "two"):
        certificate = authority.issue_cert(f"{name}.example.com")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / "password").write_text("from a file \n")
    (folder / "empty").write_text("\n")
    (folder / "binary").write_bytes(b"\xff\xfe")
    (folder / "nonsense.pem").write_text("no certificate")
    return folder


def paths(oauth_token: Any = None, **security: Any) -> list[str]:
    options = KafkaOptions(brokers=["localhost:9092"], security=SecurityOptions(**security))
    found = list(KafkaBackplane(options, oauth_token=oauth_token).check(options))
    assert {problem.path[0] for problem in found} <= {"security"}
    return [str(problem.path[1]) for problem in found]


def test_nothing_written_is_fine() -> None:
    assert paths() == []


def test_what_belongs_together_is_fine(pem: Path) -> None:
    assert paths(**SASL, password="p", ca_file=str(pem / "ca.pem")) == []
    assert paths(**SASL, password_file=str(pem / "password")) == []
    assert paths(
        protocol="SSL",
        ca_file=str(pem / "ca.pem"),
        cert_file=str(pem / "one.pem"),
        key_file=str(pem / "one.key"),
    ) == []  # fmt: skip
    assert paths(
        protocol="SASL_SSL",
        mechanism="OAUTHBEARER",
        token_endpoint_url="https://id.example.com/token",
        client_id="me",
        client_secret_file=str(pem / "password"),
    ) == []  # fmt: skip
    token = lambda: ("t", 1.0)  # noqa: E731  # as a user would write it
    assert paths(token, protocol="SASL_SSL", mechanism="OAUTHBEARER") == []


@pytest.mark.parametrize("option", ["ca_file", "cert_file", "key_file"])
def test_a_missing_file_is_a_problem_at_its_option(pem: Path, option: str) -> None:
    files = {
        "cert_file": str(pem / "one.pem"),
        "key_file": str(pem / "one.key"),
        option: str(pem / "missing"),
    }
    assert paths(protocol="SSL", **files) == [
        {"ca_file": "caFile", "cert_file": "certFile", "key_file": "keyFile"}[option]
    ]


@pytest.mark.parametrize("name", ["missing", "empty", "binary", "\0"])
def test_a_password_file_has_to_hold_text(pem: Path, name: str) -> None:
    assert paths(**SASL, password_file=f"{pem}/{name}") == ["passwordFile"]


def test_a_ca_file_has_to_hold_certificates(pem: Path) -> None:
    assert paths(protocol="SSL", ca_file=str(pem / "nonsense.pem")) == ["caFile"]


def test_a_key_has_to_fit_its_certificate(pem: Path) -> None:
    files = {"cert_file": str(pem / "one.pem"), "key_file": str(pem / "two.key")}
    assert paths(protocol="SSL", **files) == ["keyFile"]


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ({"protocol": "SASL_SSL"}, ["mechanism"]),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN"}, ["username", "password"]),
        ({**SASL, "password": "p", "password_file": "password"}, ["passwordFile"]),
        ({"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER"}, ["tokenEndpointUrl"]),
        (
            {
                "protocol": "SASL_SSL",
                "mechanism": "OAUTHBEARER",
                "token_endpoint_url": "https://id.example.com",
            },
            ["clientId", "clientSecret"],
        ),
        ({"username": "u", "password": "p"}, ["username", "password"]),
        ({"protocol": "SSL", "mechanism": "PLAIN"}, ["mechanism"]),
        ({"ca_file": "ca.pem"}, ["caFile"]),
        ({"protocol": "SSL", "cert_file": "one.pem"}, ["certFile"]),
        ({"protocol": "SSL", "key_file": "one.key"}, ["keyFile"]),
        ({**SASL, "password": "p", "scope": "s"}, ["scope"]),
    ],
)
def test_what_is_missing_or_without_effect_is_a_problem_at_its_option(
    pem: Path, monkeypatch: pytest.MonkeyPatch, security: dict[str, Any], expected: list[str]
) -> None:
    monkeypatch.chdir(pem)
    assert paths(**security) == expected


def test_a_token_source_needs_the_mechanism_that_uses_it() -> None:
    def token() -> tuple[str, float]:
        return "t", 1.0

    assert paths(token, **SASL, password="p") == ["mechanism"]
    assert paths(token) == ["protocol"]


def test_no_secret_is_ever_shown(pem: Path) -> None:
    canary = "canary-7f3a"
    security = SecurityOptions(
        protocol="SSL",
        password=canary,
        password_file=str(pem / "password"),
        key_password=canary,
        client_secret=canary,
        cert_file=str(pem / "one.pem"),
        key_file=str(pem / "two.key"),
    )
    options = KafkaOptions(brokers=["localhost:9092"], security=security)
    backplane = KafkaBackplane(options)
    shown = [str(problem) + repr(problem) for problem in backplane.check(options)]
    shown += [repr(options), str(backplane.client_settings(options, 1, 1024))]
    assert len(shown) > 4
    assert not any(canary in text for text in shown)

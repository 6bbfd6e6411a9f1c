"""Every configuration under samples/ loads, and the schema that editors use agrees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
import trustme
from experiment_framework import ConfigError
from experiment_framework._config import load, schema
from experiment_framework._registry import Registry
from ruamel.yaml import YAML
from webhook_sample import registry_with_webhook

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
INSTALLED_ELSEWHERE = SAMPLES / "third_party_redis"  # with what it requires; it has its own tests
CONFIGURATIONS = sorted(
    path for path in SAMPLES.rglob("*.yaml") if not path.is_relative_to(INSTALLED_ELSEWHERE)
)
SECURE = SAMPLES / "experiment_definitions" / "kafka-secure.yaml"

each_configuration = pytest.mark.parametrize(
    "configuration", CONFIGURATIONS, ids=lambda path: path.stem
)


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """What the samples ask for: a user, the file of a secret and that of a certificate."""
    password = tmp_path / "password"
    password.write_text("canary-secret\n", encoding="utf-8")
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    return {
        "KAFKA_USERNAME": "experiments",
        "KAFKA_PASSWORD_FILE": str(password),
        "KAFKA_CA_FILE": str(authority),
        "DATABASE_PASSWORD": "canary-secret",
    }


@pytest.fixture(scope="module")
def registry() -> Registry:
    return registry_with_webhook()


@each_configuration
def test_it_loads(configuration: Path, registry: Registry, environ: Mapping[str, str]) -> None:
    config = load(configuration, registry=registry, environ=environ)

    assert config.backplane.name in {
        "kafka",
        "file",
        "webhook",
        "opentelemetry",
        "sql",
        "composite",
    }


@each_configuration
def test_the_schema_accepts_it(configuration: Path, registry: Registry) -> None:
    document = YAML(typ="safe", pure=True).load(configuration.read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator(schema(registry)).validate(document)


def test_what_other_parts_of_the_framework_own_is_kept(registry: Registry) -> None:
    config = load(
        SAMPLES / "experiment_definitions" / "kafka-backplane-example.yaml", registry=registry
    )

    assert config.settings == {"proxyStrategy": "sourceGenerators", "namingConvention": "default"}
    assert config.trials[0]["conditions"][0]["key"] == "true"


def test_security_reaches_the_client_and_the_secret_is_masked(
    registry: Registry, environ: Mapping[str, str]
) -> None:
    config = load(SECURE, registry=registry, environ=environ)
    hooks = config.backplane.create(config.backplane_options)

    settings = hooks.client_settings(config.backplane_options, 1, 1024)

    assert settings["security.protocol"] == "SASL_SSL"
    assert settings["sasl.mechanisms"] == "SCRAM-SHA-512"
    assert settings["sasl.username"] == "experiments"
    assert "canary-secret" not in str(settings)


def test_security_says_which_variable_is_missing_and_where(registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SECURE, registry=registry, environ={})

    lines = {problem.location.line for problem in caught.value.problems if problem.location}
    assert lines >= {10, 11, 12}
    assert "set it to the name of the service account" in str(caught.value)

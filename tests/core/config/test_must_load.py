"""The configuration that has to load unchanged, in YAML and in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from experiment_framework._config import load
from experiment_framework.dataplane_options import DataPlaneOptions
from experiment_framework_kafka import KafkaOptions
from experiment_framework_pipeline import Sampling

SAMPLE = Path(__file__).parents[3] / "samples/experiment_definitions/kafka-backplane-example.yaml"

YAML = """\
experimentFramework:
  settings: {proxyStrategy: sourceGenerators, namingConvention: default}
  dataPlane:
    enableExposureEvents: true
    enableAssignmentEvents: true
    enableOutcomeEvents: true
    enableAnalysisSignals: true
    enableErrorEvents: true
    samplingRate: 1.0
    batchSize: 500
    flushIntervalMs: 1000
    backplane:
      type: kafka
      options:
        brokers: [localhost:9092, broker2:9092]
        topic: experiment-events
        partitionBy: experimentKey
        batchSize: 1000
        lingerMs: 100
        enableIdempotence: true
        compressionType: snappy
        acks: all
        clientId: experiment-framework-producer
  trials:
    - serviceType: IRecommendationService
      selectionMode: {type: featureFlag, flagName: UseMLRecommendations}
      control: {key: control, implementationType: RuleBasedRecommendations}
      conditions:
        - {key: "true", implementationType: MLRecommendations}
"""
MAPPING = {
    "experimentFramework": {
        "settings": {"proxyStrategy": "sourceGenerators", "namingConvention": "default"},
        "dataPlane": {
            "enableExposureEvents": True,
            "enableAssignmentEvents": True,
            "enableOutcomeEvents": True,
            "enableAnalysisSignals": True,
            "enableErrorEvents": True,
            "samplingRate": 1.0,
            "batchSize": 500,
            "flushIntervalMs": 1000,
            "backplane": {
                "type": "kafka",
                "options": {
                    "brokers": ["localhost:9092", "broker2:9092"],
                    "topic": "experiment-events",
                    "partitionBy": "experimentKey",
                    "batchSize": 1000,
                    "lingerMs": 100,
                    "enableIdempotence": True,
                    "compressionType": "snappy",
                    "acks": "all",
                    "clientId": "experiment-framework-producer",
                },
            },
        },
        "trials": [
            {
                "serviceType": "IRecommendationService",
                "selectionMode": {"type": "featureFlag", "flagName": "UseMLRecommendations"},
                "control": {"key": "control", "implementationType": "RuleBasedRecommendations"},
                "conditions": [{"key": "true", "implementationType": "MLRecommendations"}],
            }
        ],
    }
}


@pytest.mark.parametrize(
    "source",
    [
        YAML,
        MAPPING,
        json.dumps(MAPPING),
        json.dumps(MAPPING, indent=4),
        json.dumps(MAPPING, indent="\t"),
        json.dumps(MAPPING, separators=(",", ":")),
        YAML.replace("\n", "\r\n"),
        "\ufeff" + YAML,
        "%YAML 1.2\n---\n" + YAML + "...\n",
        SAMPLE,
    ],
    ids=["yaml", "mapping", "json", "indented", "tabs", "compact", "crlf", "bom", "1.2", "sample"],
)
def test_it_loads_in_every_notation(source: object) -> None:
    config = load(source, environ={})  # type: ignore[arg-type]  # each is one of those it takes
    assert config.data_plane == DataPlaneOptions(batch_size=500, flush_interval_ms=1000)
    assert config.backplane.name == "kafka"
    assert config.backplane_options == KafkaOptions(
        brokers=["localhost:9092", "broker2:9092"],
        topic="experiment-events",
        batch_size=1000,
        client_id="experiment-framework-producer",
    )
    (step,) = config.steps
    assert isinstance(step, Sampling)
    assert config.settings == MAPPING["experimentFramework"]["settings"]
    assert config.trials == MAPPING["experimentFramework"]["trials"]

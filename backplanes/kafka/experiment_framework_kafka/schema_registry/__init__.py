"""Records in the framing of Confluent Schema Registry, with our published JSON Schemas."""

from experiment_framework_kafka.schema_registry.encoder import SchemaRegistryJsonEncoder
from experiment_framework_kafka.schema_registry.options import SchemaRegistryOptions

__all__ = ["SchemaRegistryJsonEncoder", "SchemaRegistryOptions"]

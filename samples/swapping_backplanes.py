"""Publish to the backplane that a YAML file names, and read the events back from it.

Nothing here knows which one: run it with swap-kafka.yaml, then with swap-file.yaml.
"""

import sys

from experiment_framework import DataPlane, Exposure, decode
from experiment_framework.plugin import Query

with DataPlane.from_config(sys.argv[1]) as plane:
    for number in range(5):
        plane.publish(
            Exposure(
                experiment_name="checkout",
                variant_key="green" if number % 2 else "blue",
                subject_id=f"user-{number}",
            )
        )
    plane.flush(timeout=10)
    for stored in plane.read(Query(experiment_name="checkout")):
        event = decode(stored.body).payload
        if isinstance(event, Exposure):
            print(event.subject_id, "saw", event.variant_key)

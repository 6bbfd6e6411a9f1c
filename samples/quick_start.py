"""Publish what a subject saw and what it did next, to the backplane that a YAML file names."""

import sys

from experiment_framework import DataPlane, Exposure, Outcome, correlation

with DataPlane.from_config(sys.argv[1]) as plane:
    with correlation("request-abc-123"):
        plane.publish(
            Exposure(experiment_name="checkout", variant_key="green", subject_id="user-1")
        )
        receipt = plane.publish(
            Outcome(
                experiment_name="checkout",
                subject_id="user-1",
                metric_name="purchase",
                outcome_type="Binary",
                value=True,
            )
        )
    print(receipt.status, receipt.event_id)
    print(plane.flush(timeout=10))

"""It keeps what every backplane promises, on a real Redis."""

import itertools
from typing import Any

import pytest
from experiment_framework import DataPlane, Exposure
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest
from redis_backplane import RedisBackplane

STREAMS = itertools.count()


class TestRedis(BackplaneConformance):
    @pytest.fixture
    def under_test(self, server: Any) -> BackplaneUnderTest:
        stream = f"conformance-{next(STREAMS)}"
        return BackplaneUnderTest(
            plugin=RedisBackplane,
            options={
                "url": server.url,
                "password": server.password,
                "stream": stream,
                "timeoutMs": 500,
            },
            arrived=lambda: [fields[b"envelope"] for _, fields in server.client.xrange(stream)],
            take_away=server.pause,
            bring_back=server.go_on,
        )


def test_a_stream_that_is_full_forgets_the_oldest(server: Any) -> None:
    config = {
        "type": "redis",
        "options": {"url": server.url, "password": server.password, "maxLength": 10},
    }
    with DataPlane.from_config({"experimentFramework": {"dataPlane": {"backplane": config}}}) as p:
        for number in range(1000):
            p.publish(Exposure(experiment_name="e", variant_key="b", subject_id=str(number)))

    assert server.client.xlen("experiments") < 500

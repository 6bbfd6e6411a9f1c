"""Events of one key arrive in the order in which they were published."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from experiment_framework.testing._cases.harness import Harness

__all__ = ["OrderCases", "expect_order"]


def expect_order(
    harness: Harness, published: Mapping[int, Sequence[str]], *, once: bool = True
) -> None:
    """Compare the order of first arrival, key by key, with that of publication."""
    ids_of_all = [each for ids in published.values() for each in ids]
    arrived = list(dict.fromkeys(harness.expect(ids_of_all, once=once)))
    for key, ids in published.items():
        of_key = set(ids)
        found = [each for each in arrived if each in of_key]
        wrong = next((at for at, (a, b) in enumerate(zip(found, ids, strict=True)) if a != b), None)
        assert wrong is None, (
            f"order of a key was lost: of {len(ids)} events of key {key}, number {wrong} to arrive "
            f"is number {list(ids).index(found[wrong or 0])} that was published"
        )


class OrderCases:
    """With the sink there and well."""

    def test_events_of_a_key_arrive_in_order(self, harness: Harness) -> None:
        plane = harness.plane(batchSize=7)
        published: dict[int, list[str]] = {key: [] for key in range(5)}
        for number in range(500):
            published[number % 5] += harness.publish(plane, 1, key=number % 5)
        harness.flush(plane)
        expect_order(harness, published)

    def test_each_of_several_threads_has_its_events_in_order(self, harness: Harness) -> None:
        plane = harness.plane()
        published: dict[int, list[str]] = {}

        def work(key: int) -> None:
            published[key] = harness.publish(plane, 200, key=key)

        threads = [threading.Thread(target=work, args=(key,)) for key in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        harness.flush(plane)
        expect_order(harness, published)

"""A backplane that appends events to a Redis stream."""

import time
from collections.abc import Iterator, Sequence
from typing import Annotated

from experiment_framework.plugin import Backplane, Query, Record, Stored, option, options
from msgspec import Meta
from redis import Redis

Url = Annotated[str, Meta(pattern="^(redis|rediss|unix)://", examples=["redis://localhost:6379/0"])]


@options
class RedisOptions:
    url: Url = option(help="Where Redis listens, without a password.")
    password: str | None = option(default=None, help="What Redis asks for.", secret=True)
    stream: str = option(default="experiments", help="Stream that events are appended to.")
    max_length: Annotated[int, Meta(ge=1)] | None = option(
        default=None, help="About how many events are kept; the oldest go first. None keeps all."
    )
    timeout_ms: Annotated[int, Meta(ge=1)] = option(
        default=5000, help="Longest time in ms that Redis may take to answer."
    )


class RedisBackplane(Backplane[RedisOptions]):
    api_version = "1.0"

    def open(self) -> None:
        seconds, given = self.options.timeout_ms / 1000, self.options
        self._redis = Redis.from_url(  # connects when it is used
            given.url, password=given.password, socket_timeout=seconds, retry=None
        )

    def write_batch(self, records: Sequence[Record]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for record in records:
                fields = {"envelope": record.body, **dict(record.headers())}
                pipeline.xadd(self.options.stream, fields, maxlen=self.options.max_length)
            pipeline.execute()

    def health(self) -> None:
        self._redis.ping()  # what it raises is why it is unhealthy

    def close(self) -> None:
        self._redis.close()

    def read(self, query: Query) -> Iterator[Stored]:
        if query.after is not None:
            return self._read(query, query.after.get("", "0").encode())
        newest = self._redis.xrevrange(self.options.stream, count=1)
        return self._read(query, newest[0][0] if newest and not query.from_start else b"0")

    def _read(self, query: Query, start: bytes) -> Iterator[Stored]:
        stream, last, since = self.options.stream, start, time.monotonic()
        while True:
            found = self._redis.xread({stream: last}, 500, 100 if query.follow else None)
            for last, fields in found[0][1] if found else ():
                body, entry = fields[b"envelope"], last.decode()
                if query.matches(Record.from_body(body)):
                    yield Stored(body=body, place=f"{stream}/{entry}", position=("", entry))
                    since = time.monotonic()
            waited = time.monotonic() - since
            is_idle = query.idle_timeout is not None and waited > query.idle_timeout
            if not found and (is_idle or not query.follow):
                return

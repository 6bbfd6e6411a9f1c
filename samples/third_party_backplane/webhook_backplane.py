"""A backplane that posts batches of events to a URL, as JSON Lines."""

from collections.abc import Sequence
from typing import Annotated
from urllib.request import Request, urlopen

from experiment_framework.plugin import Backplane, Record, option, options
from msgspec import Meta


@options
class WebhookOptions:
    url: Annotated[str, Meta(pattern="^https?://")] = option(help="Where batches are posted.")
    timeout_ms: Annotated[int, Meta(ge=1)] = option(default=5000, help="Longest request in ms.")


class WebhookBackplane(Backplane[WebhookOptions]):
    def write_batch(self, records: Sequence[Record]) -> None:
        body = b"\n".join(record.body for record in records)
        request = Request(self.options.url, body, {"Content-Type": "application/x-ndjson"})
        with urlopen(request, timeout=self.options.timeout_ms / 1000):
            pass  # an answer of 4xx or 5xx raises: the batch is then counted as failed

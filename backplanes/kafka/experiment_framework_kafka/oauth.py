"""Access tokens from a function of the user's, such as one that signs for MSK IAM."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from experiment_framework_kafka.logs import ClientLog

__all__ = ["OAuthToken", "TokenSource"]

OAuthToken: TypeAlias = Callable[[], tuple[str, float]]
"""Gives a token and when it expires, in seconds since the epoch."""

FIRST_WAIT: Final = 1.0
"""Longest wait in seconds for the first token, while a client is made."""

NEXT_WAIT: Final = 10.0
"""Longest wait in seconds for a later one; the one before is still good meanwhile."""

RETRY: Final = 2.0
"""Seconds until the next attempt where there has been no token yet."""


class TokenSource:
    """Asks the user's function on a thread of ours, and contains what it raises.

    A client cannot be made without a token. So where there is none in time, it is made with one
    that no broker accepts, and tries again soon: records wait meanwhile, and health says why.

    Args:
        fetch: The user's function.
        log: Where its failures are told.

    Attributes:
        failure: Why there is no token now; None where there is one.
    """

    def __init__(self, fetch: OAuthToken, log: ClientLog) -> None:
        self.failure: str | None = None
        self._fetch = fetch
        self._log = log
        self._token: tuple[str, float] | None = None
        self._fetching: threading.Thread | None = None

    def __call__(self, _config: str) -> tuple[str, float]:
        """Give a token; called by librdkafka, on its own thread."""
        before = self._token
        self._ask(FIRST_WAIT if before is None else NEXT_WAIT)
        if self._token is not None and self._token is not before:
            return self._token
        if before is not None and before[1] > time.time():
            raise RuntimeError(self.failure)  # librdkafka keeps the old one and tries again
        return "none", time.time() + RETRY

    def _ask(self, wait: float) -> None:
        if self._fetching is None or not self._fetching.is_alive():
            self._fetching = threading.Thread(
                target=self._try, name="experiment-kafka-token", daemon=True
            )
            self._fetching.start()
        self._fetching.join(wait)
        if self._fetching.is_alive():
            self.failure = f"oauth_token gave no token within {wait:g} s"

    def _try(self) -> None:
        try:
            token, expires = self._fetch()
            found = (str(token), float(expires))
        except BaseException as error:  # noqa: BLE001  # it is the user's: it may raise anything
            # Not the text of the exception: it may hold the secret that it was made from.
            self.failure = f"oauth_token raised {type(error).__name__}"
            self._log.log(logging.ERROR, "no access token: %s", self.failure)
        else:
            if found[1] > time.time():
                self._token, self.failure = found, None
            else:
                self.failure = "oauth_token gave a token that has expired"

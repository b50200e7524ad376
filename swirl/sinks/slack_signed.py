"""Whether a request is Slack's own: signed, fresh, and not seen before."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from swirl.errors import MissingExtraError

try:
    from slack_sdk.signature import Clock, SignatureVerifier
except ImportError:
    raise MissingExtraError("slack-sdk", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SlackRequests"]

_FRESH_S = 300
_MOST = 10_000
"""Signatures that are remembered: only genuine ones are."""


class SlackRequests:
    """Knows Slack's requests by their signature; see https://docs.slack.dev/authentication.

    Args:
        secret: the app's signing secret.
        clock: seconds since 1970.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._verifier = SignatureVerifier(secret, _Clock(clock))
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def refusal(self, body: bytes, headers: Mapping[str, str]) -> str:
        """Why a request is refused, ``""`` for a genuine one, which is remembered.

        Args:
            body: as it came.
            headers: of the request, names in small letters.
        """
        stamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        if not stamp.isascii() or not stamp.isdecimal() or not signature.isascii() or not signature:
            return "it is not signed"
        if abs(self._clock() - int(stamp[:20])) > _FRESH_S:
            return "it is more than 5 minutes old, or the clock of this machine is wrong"
        try:
            genuine = self._verifier.is_valid(body, stamp, signature)
        except UnicodeDecodeError:
            genuine = False
        if not genuine:
            return "its signature is wrong; check SWIRL_SLACK_SIGNING_SECRET"
        return "" if self._is_new(signature) else "it was sent a second time"

    def _is_new(self, signature: str) -> bool:
        with self._lock:
            now = self._clock()
            # A stamp may be ahead of the clock by as much as behind it.
            self._seen = {known: at for known, at in self._seen.items() if abs(now - at) <= 2 * _FRESH_S}
            if signature in self._seen:
                return False
            while len(self._seen) >= _MOST:
                del self._seen[next(iter(self._seen))]
            self._seen[signature] = now
            return True


class _Clock(Clock):
    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now()

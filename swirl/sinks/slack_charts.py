"""Charts that follow in the threads of incidents: drawn and uploaded where no text waits for them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from swirl.effect import IncidentChanged
from swirl.errors import DeliveryError, MissingExtraError
from swirl.sinks.slack_client import passing_error, slack_code
from swirl.sinks.slack_labels import neutral
from swirl.sinks.wording import headline

try:
    from slack_sdk.errors import SlackApiError
except ImportError:
    raise MissingExtraError("slack-sdk", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable

    from slack_sdk import WebClient

    from swirl.effect import Effect, Incident
    from swirl.sinks.slack_memory import Place, Threads

__all__ = ["SlackCharts"]

_log = logging.getLogger("swirl.sinks.slack")

_ATTEMPTS = 5
_GIVEN_UP_S = 86_400.0
"""So long a chart waits for the thread of its incident."""

_WAITING = 1000
"""Incidents whose threads are waited for, or whose charts have failed."""

_MISSING = "no charts in Slack: give the bot the scope files:write and install it again"


class SlackCharts:
    """One chart an incident, in its thread.

    It belongs behind an outlet of its own. It waits for the thread, so it may be given an effect before it
    was told.

    Args:
        client: of slack-sdk, with its token; the scope ``files:write`` is needed, and without it this is
            said once.
        threads: shared with the bot that tells the incidents; ``chart/INCIDENT`` says that a chart is there.
        chart: draws an incident as PNG; None where there is nothing to draw. It takes the names of the
            series from the evidence, which has no labels where these may not be told.
        show_labels: they may be told.
        clock: seconds that never go back.
    """

    name = "slack_charts"

    def __init__(
        self,
        client: WebClient,
        threads: Threads,
        chart: Callable[[Incident], bytes | None],
        *,
        show_labels: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._threads = threads
        self._chart = chart
        self._show_labels = show_labels
        self._clock = clock
        self._since: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        self._said: set[str] = set()
        self.trouble = ""

    def wait(self, effect: Effect) -> float:
        """Seconds until it is worth looking again for the thread; 0 when it is there."""
        if not self._wanted(effect):
            return 0.0
        assert isinstance(effect, IncidentChanged)
        ident = effect.incident.id
        if self._threads.place(ident) is not None:
            return 0.0
        waited = self._clock() - _kept(self._since, ident, self._clock())
        return 0.0 if waited > _GIVEN_UP_S else min(5.0, 0.1 + waited / 4)

    def handle(self, effect: Effect) -> None:
        """Draw and upload, if that was not done.

        Raises:
            DeliveryError: Slack did not take it.
            OSError: Slack was not reached.
        """
        if not self._wanted(effect):
            return
        assert isinstance(effect, IncidentChanged)
        incident = effect.incident
        place = self._threads.place(incident.id)
        self._since.pop(incident.id, None)
        if place is None:
            return
        try:
            self._follow(effect, place)
        except Exception as error:
            if _count(self._failed, incident.id) < _ATTEMPTS:
                raise
            self._say(f"no chart of {incident.id} in Slack: {error}")
            self._threads.keep(_key(incident), "failed")
        self._failed.pop(incident.id, None)

    def _wanted(self, effect: Effect) -> bool:
        if not isinstance(effect, IncidentChanged) or effect.transition == "judged" or self.trouble:
            return False
        return not effect.incident.muted and not self._threads.said(_key(effect.incident))

    def _follow(self, change: IncidentChanged, place: Place) -> None:
        incident = change.incident
        unsure = change.transition != "opened" or self._failed.get(incident.id)
        if unsure and self._is_there(incident, place):
            self._threads.keep(_key(incident), "there")
            return
        drawn = self._chart(incident if self._show_labels else neutral(incident))
        if drawn is not None:
            self._upload(incident, place, drawn)

    def _upload(self, incident: Incident, place: Place, drawn: bytes) -> None:
        try:
            answer = self._client.files_upload_v2(
                channel=place.channel,
                thread_ts=place.ts,
                content=drawn,
                filename=_file(incident),
                title=headline(incident),
                alt_txt=f"Charts of the most telling series of {headline(incident)}"[:1000],
            )
        except SlackApiError as error:
            self._refused(error)
            return
        files = answer.get("files") or [{}]
        self._threads.keep(_key(incident), str(files[0].get("id", "there")))

    def _refused(self, error: SlackApiError) -> None:
        """What passes is tried again; what does not is said once."""
        code = _lasting(error)
        if code == "missing_scope":
            self.trouble = _MISSING
            self._say(_MISSING)
            return
        raise DeliveryError(f"Slack refuses the chart: {code}") from error

    def _is_there(self, incident: Incident, place: Place) -> bool:
        """Whether the thread has the chart, as far as Slack tells."""
        try:
            answer = self._client.conversations_replies(channel=place.channel, ts=place.ts, limit=200)
        except SlackApiError as error:
            _lasting(error)
            return False
        messages = answer.get("messages") or []
        names = {f.get("name") for message in messages for f in message.get("files") or ()}
        return _file(incident) in names

    def _say(self, told: str) -> None:
        if told not in self._said and len(self._said) < _WAITING:
            self._said.add(told)
            _log.warning("%s", told)


def _lasting(error: SlackApiError) -> str:
    """Slack's word for what lasts; what passes is raised as such."""
    data: Any = error.response.data
    said = str(data.get("error", "")) if isinstance(data, dict) else ""
    status, headers = error.response.status_code, error.response.headers
    if passing := passing_error(said, status, headers):
        raise passing from error
    return slack_code(said, status)


def _key(incident: Incident) -> str:
    return f"chart/{incident.id}"


def _file(incident: Incident) -> str:
    return f"{incident.id}.png"


def _kept(of: dict[str, float], key: str, value: float) -> float:
    while len(of) > _WAITING:
        del of[next(iter(of))]
    return of.setdefault(key, value)


def _count(of: dict[str, int], key: str) -> int:
    while len(of) > _WAITING:
        del of[next(iter(of))]
    of[key] = of.get(key, 0) + 1
    return of[key]

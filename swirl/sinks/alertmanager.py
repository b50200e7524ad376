"""Incidents as alerts of Alertmanager, with a heartbeat that always fires: for pages, e-mail and silences.

An alert lives only as long as somebody repeats it, so what is sent is the state and never a step: whoever
watches a pipeline sends its open incidents again and again, and once more when they are over.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from swirl.effect import IncidentChanged
from swirl.errors import SettingsError
from swirl.sinks.outlet import Counts
from swirl.sinks.slack_labels import neutral
from swirl.sinks.wording import how_sure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swirl.effect import Effect, Incident
    from swirl.settings import WatchSettings

__all__ = ["AlertmanagerMirror"]

_log = logging.getLogger("swirl.sinks")

_TIMEOUT_S = 5.0
_REPEATS_AHEAD = 4
"""An alert that is not repeated for so many turns is over: one lost request ends nothing."""
_AT_ONCE = 200
"""Alerts in one request."""
_OVER = 1000
"""Ends that wait to be told: what is not repeated ends by itself, so the oldest may be forgotten."""
_SHOWN = 3
"""Numbers of the evidence that an alert quotes."""

_Alert = dict[str, Any]


class _NoRedirects(HTTPRedirectHandler):
    """What is redirected would arrive as a question without alerts, and be answered with 200."""

    def redirect_request(self, *_: object) -> None:
        """Leave the answer as it is."""


class AlertmanagerMirror:
    """Holds the open incidents of the pipelines that are watched here, and repeats them to an Alertmanager.

    It is to be handed every effect, and what stands after a restart; handing one over twice does no harm.
    A thread of its own sends: :meth:`handle` never waits and never fails.

    Args:
        settings: ``alertmanager``, ``alertmanager_seconds``, ``url``, ``runbook`` and ``slack_show_labels``
            count here: pages and e-mails leave the house as messages in Slack do.
        live: whether what is watched makes progress, and in words; while it does not, the heartbeat stops.
        clock: seconds since 1970.

    Raises:
        SettingsError: the address cannot be used.

    Attributes:
        name: of the sink.
    """

    name = "alertmanager"

    def __init__(
        self,
        settings: WatchSettings,
        *,
        live: Callable[[], tuple[bool, str]] = lambda: (True, "ok"),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._to = f"{_address(settings.alertmanager)}/api/v2/alerts"
        self._settings, self._live, self._clock = settings, live, clock
        self._open: dict[str, Incident] = {}
        self._over: dict[str, Incident] = {}
        self._news: dict[str, Incident] = {}
        self._delivered = self._failed_posts = 0
        self._troubled = self._woken = self._closing = False
        self._opener = build_opener(_NoRedirects)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="swirl-alertmanager", daemon=True)

    # -- what stands

    def handle(self, effect: Effect) -> None:
        """Take over how an incident stands."""
        if not isinstance(effect, IncidentChanged):
            return
        incident = effect.incident
        with self._changed:
            before = self._open.get(incident.id)
            if before is not None and before.revision > incident.revision:
                return
            if incident.state == "open" and not incident.muted:
                self._open[incident.id] = self._news[incident.id] = incident
                self._over.pop(incident.id, None)
            elif before is not None or (effect.transition == "resolved" and not incident.muted):
                self._open.pop(incident.id, None)
                self._news.pop(incident.id, None)
                self._over[incident.id] = incident
                for forgotten in list(self._over)[:-_OVER]:
                    del self._over[forgotten]
            else:
                return
            self._woken = True
            self._changed.notify_all()

    def forget(self, pipeline: str) -> None:
        """Another worker watches the pipeline now, and goes on repeating what is open: nothing is ended."""
        with self._changed:
            for kept in (self._open, self._over, self._news):
                for ident in [i for i, incident in kept.items() if incident.pipeline == pipeline]:
                    del kept[ident]

    @property
    def counts(self) -> Counts:
        """Steps that Alertmanager took, requests that failed, and what it does not know yet."""
        with self._changed:
            pending = len(self._news) + len(self._over) + self._troubled
            return Counts(delivered=self._delivered, retried=self._failed_posts, pending=pending)

    # -- the thread

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self, timeout: float = 1.0) -> None:
        """Send what is new once more, and stop; whatever is open ends by itself if nobody else repeats it.

        Args:
            timeout: seconds to wait for that.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._woken or self._closing, max(0.0, due - time.monotonic()))
                self._woken, closing = False, self._closing
                repeat = not closing and time.monotonic() >= due
                standing = dict(self._open if repeat else self._news)
                over = dict(self._over)
            if repeat:
                due = time.monotonic() + self._settings.alertmanager_seconds
            try:
                self._send(standing, over, beat=repeat)
            except Exception:  # noqa: BLE001 - a thread that ends would be a heartbeat that ends
                _log.exception("alertmanager: this is an error of ours; it is tried again")
            if closing:
                return

    def _send(self, standing: dict[str, Incident], over: dict[str, Incident], *, beat: bool) -> None:
        now = self._clock()
        ahead = now + _REPEATS_AHEAD * self._settings.alertmanager_seconds
        if beat and self._lives():
            self._post([self._heartbeat(now, ahead)])
        told = [(self._alert(incident, now, ahead), incident) for incident in standing.values()]
        told += [(self._alert(incident, now, now), incident) for incident in over.values()]
        for at in range(0, len(told), _AT_ONCE):
            part = told[at : at + _AT_ONCE]
            if self._post([alert for alert, _ in part]):
                self._settle([incident for _, incident in part])

    def _lives(self) -> bool:
        try:
            return self._live()[0]
        except Exception:  # noqa: BLE001 - what cannot be asked does not live
            return False

    def _settle(self, incidents: list[Incident]) -> None:
        """Alertmanager knows of these, as they were when they were sent."""
        with self._changed:
            for incident in incidents:
                for waiting in (self._news, self._over):
                    if waiting.get(incident.id) is incident:
                        del waiting[incident.id]
                        self._delivered += 1

    def _post(self, alerts: list[_Alert]) -> bool:
        body = json.dumps(alerts).encode()
        request = Request(self._to, body, {"Content-Type": "application/json"})  # noqa: S310 - http or https, looked at before
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S):
                pass
        except HTTPError as error:
            with error:
                self._trouble(_refusal(error))
            return False
        except (OSError, HTTPException, ValueError) as error:
            self._trouble(
                f"is not there ({getattr(error, 'reason', error)}): is it up, and the address right?"
            )
            return False
        if self._troubled:
            _log.info("alertmanager: %s takes alerts again", self._settings.alertmanager)
        self._troubled = False
        return True

    def _trouble(self, what: str) -> None:
        with self._changed:
            self._failed_posts += 1
            known, self._troubled = self._troubled, True
        if not known:
            _log.warning(
                "alertmanager: %s (SWIRL_ALERTMANAGER) %s "
                "It is tried again every %g s, and nothing else waits for it",
                *(self._settings.alertmanager, what, self._settings.alertmanager_seconds),
            )

    # -- alerts

    def _alert(self, incident: Incident, now: float, ends: float) -> _Alert:
        """Labels say which incident it is, for ever; whatever may change is an annotation."""
        labels = {"alertname": "SwirlIncident", "pipeline": incident.pipeline, "incident": incident.id}
        shown = incident if self._settings.slack_show_labels else neutral(incident)
        notes = {key: value for key, value in _annotations(shown) if value}
        return self._said(
            labels,
            notes,
            min(incident.onset_ms / 1000, now),
            ends,
            f"/incidents/{quote(incident.id, safe='')}",
        )

    def _heartbeat(self, now: float, ends: float) -> _Alert:
        notes = {
            "summary": "Swirl watches.",
            "description": "This alert always fires. When it ends, nobody watches the pipelines any more.",
        }
        return self._said({"alertname": "SwirlHeartbeat"}, notes, now, ends, "")

    def _said(
        self, labels: dict[str, str], notes: dict[str, str], starts: float, ends: float, path: str
    ) -> _Alert:
        if self._settings.runbook:
            notes["runbook_url"] = self._settings.runbook
        alert = {"labels": labels, "annotations": notes, "startsAt": _time(starts), "endsAt": _time(ends)}
        if self._settings.url:
            alert["generatorURL"] = self._settings.url.rstrip("/") + path
        return alert


def _annotations(incident: Incident) -> Iterator[tuple[str, str]]:
    yield "summary", incident.title
    yield "description", incident.sentence
    yield "look_first", incident.look_first
    yield "stage", incident.stage
    yield "cause", incident.cause
    yield "severity", incident.severity
    yield "probability", how_sure(incident)
    yield "preliminary", "yes" if incident.preliminary else ""
    yield "version", incident.version
    yield "segment", incident.segment
    shown = incident.evidence[:_SHOWN]
    yield "evidence", "; ".join(f"{each.name} {each.now}, usually {each.usual}" for each in shown)
    yield "follows", ", ".join(incident.follows)
    yield "acknowledged_by", incident.acknowledged_by
    if incident.snoozed_until_ms:
        yield (
            "snoozed",
            f"until {_time(incident.snoozed_until_ms / 1000)} by {incident.snoozed_by or 'nobody named'}",
        )
    yield "cost", incident.cost
    yield "ending", incident.ending
    yield "ended_by", incident.ended_by


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _refusal(error: HTTPError) -> str:
    """What an answer other than 200 means, with what to do."""
    said = error.read(200).decode(errors="replace").strip()
    if error.code == 404:
        return "answers 404: it is no Alertmanager with /api/v2, or the address lacks its --web.route-prefix."
    if 300 <= error.code < 400:
        return f"redirects to {error.headers.get('Location', 'nowhere')}: give it that address instead."
    if error.code in (401, 403):
        return f"answers {error.code}: it wants a login, which Swirl has none of; let it in by the network."
    return f"answers {error.code} ({said or error.reason}): its own log says why."


def _address(given: str) -> str:
    """The address without a slash at its end.

    Raises:
        SettingsError: it is none.
    """
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment or any(c <= " " for c in given):
        raise SettingsError(
            "SWIRL_ALERTMANAGER (alertmanager) cannot be used; it must be an address such as "
            "http://localhost:9093, with the prefix if there is one, without user, password or query"
        )
    return given.rstrip("/")

"""The processes that watch, as the commands see them: over HTTP, read only, several as if they were one."""

from __future__ import annotations

import ipaddress
import math
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
import msgspec
import numpy as np

from swirl.effect import Incident, SeriesKey
from swirl.errors import SettingsError
from swirl.settings import WatchSettings
from swirl.sinks.board import Track
from swirl.web.api import IncidentAnswer, IncidentsAnswer, PipelineAnswer, PipelinesAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swirl.web.api import Summary, TrackAnswer

__all__ = ["Nobody", "Reach", "Unknown", "addresses", "no_pipeline", "track_of"]

_PATIENCE_S = 3.0
_BYTES = 32_000_000
_NO_PAGE = "SWIRL_HTTP is empty; name a process that watches with --url"
_NUMBERS = ("usual_value", "now_value")

Answer = TypeVar("Answer")


class Unknown(click.ClickException):
    """There is no such thing, or it cannot be done to it as it stands."""

    exit_code = 1


def no_pipeline(name: str, known: Iterable[str]) -> Unknown:
    """There is no pipeline of this name; those that there are may be what was meant."""
    return Unknown(f"there is no pipeline {name!r}. Known are: {', '.join(sorted(known)) or 'none'}")


class Nobody(click.ClickException):
    """No process that watches answers."""

    exit_code = 3


class _Said(NamedTuple):
    """What one process answered: a body, or why there is none."""

    url: str
    body: Any = None
    why: str = ""
    missing: bool = False


def addresses(given: Sequence[str] = ()) -> list[str]:
    """Where processes that watch serve their page.

    Args:
        given: ``http://host:port`` or ``host:port`` each; none: that of ``SWIRL_HTTP``.

    Raises:
        click.UsageError: one of them is no address.
        SettingsError: a setting cannot be used.
    """
    if not given:
        own = WatchSettings.from_environment().http
        if not own:
            raise click.UsageError(_NO_PAGE)
        host, _, port = own.rpartition(":")
        everywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - what is bound, not bound here
        given = [f"{everywhere.get(host, host)}:{port}"]
    return [_address(url) for url in dict.fromkeys(given)]


def _address(url: str) -> str:
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urllib.parse.urlsplit(whole)
        well = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        well = False
    if not well:
        raise click.UsageError(f"{url!r} is no address; it must be http://host:port")
    return whole.rstrip("/")


class Reach:
    """Asks processes that watch, and puts what they say together.

    Args:
        urls: see :func:`addresses`; none: nobody can be asked.
        patience_s: longest wait for each.
    """

    def __init__(self, urls: Sequence[str], patience_s: float = _PATIENCE_S) -> None:
        self.urls, self._patience_s = tuple(urls), patience_s
        self.silent: dict[str, str] = {}
        """Those that did not answer the last question, and why."""

    def pipelines(self) -> list[Summary]:
        """All pipelines, by name; of one that two processes show, what is newer.

        Raises:
            Nobody: no process answers; so do the others.
        """
        found: dict[str, Summary] = {}
        for answer in self._ask("/api/pipelines", PipelinesAnswer):
            for summary in answer.pipelines:
                before = found.get(summary.name)
                if before is None or summary.start_ms > before.start_ms:
                    found[summary.name] = summary
        return [found[name] for name in sorted(found)]

    def pipeline(self, name: str) -> PipelineAnswer | None:
        """One pipeline, None if no process knows it."""
        answers = self._ask(f"/api/pipelines/{urllib.parse.quote(name)}", PipelineAnswer)
        return max(answers, key=lambda answer: answer.summary.start_ms, default=None)

    def incidents(self, pipeline: str = "", *, every: bool = False) -> list[Incident]:
        """The open incidents, or all that are known, newest first; each once, in its latest revision."""
        query = {"pipeline": pipeline, "state": "" if every else "open"}
        found: dict[str, Incident] = {}
        for answer in self._ask(f"/api/incidents?{urllib.parse.urlencode(query)}", IncidentsAnswer):
            for incident in answer.incidents:
                before = found.get(incident.id)
                if before is None or incident.revision > before.revision:
                    found[incident.id] = incident
        return sorted(found.values(), key=lambda incident: (incident.opened_ms, incident.id), reverse=True)

    def incident(self, ident: str) -> IncidentAnswer | None:
        """One incident, None if no process knows it."""
        answers = self._ask(f"/api/incidents/{urllib.parse.quote(ident)}", IncidentAnswer)
        return max(answers, key=lambda answer: answer.incident.revision, default=None)

    def known(self, ident: str) -> IncidentAnswer:
        """One incident.

        Raises:
            Unknown: there is none of that name; the message says which are open.
        """
        found = self.incident(ident)
        if found is None:
            told = ", ".join(incident.id for incident in self.incidents()[:10]) or "none"
            also = " Of several workers, name each with --url." if len(self.urls) == 1 else ""
            raise Unknown(f"there is no incident {ident!r}. Open are: {told}.{also}")
        return found

    def _ask(self, path: str, kind: type[Answer]) -> list[Answer]:
        if not self.urls:
            raise Nobody(_NO_PAGE)
        with ThreadPoolExecutor(max_workers=min(8, len(self.urls))) as pool:
            said = list(pool.map(lambda url: self._get(url, path), self.urls))
        answers = [self._read(each, kind) for each in said]
        self.silent = {each.url: each.why for each in said if each.why}
        self.silent |= dict(answer for answer in answers if isinstance(answer, tuple))
        found = [answer for answer in answers if answer is not None and not isinstance(answer, tuple)]
        if len(self.silent) == len(self.urls):
            raise Nobody(_nobody(self.silent))
        return found

    def _get(self, url: str, path: str) -> _Said:
        request = urllib.request.Request(url + path, headers={"accept": "application/json"})  # noqa: S310 - http or https, see addresses()
        handlers = [urllib.request.ProxyHandler({})] if _is_here(url) else []
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=self._patience_s) as answer:
                body = answer.read(_BYTES + 1)
        except urllib.error.HTTPError as error:
            return self._objection(url, error)
        except (OSError, ValueError) as error:
            return _Said(url, why=_reason(error))
        if len(body) > _BYTES:
            return _Said(url, why=f"its answer has more than {_BYTES} bytes")
        try:
            return _Said(url, msgspec.json.decode(body))
        except msgspec.DecodeError:
            return _Said(url, why="what it answers is not JSON: no Swirl of this version")

    def _objection(self, url: str, error: urllib.error.HTTPError) -> _Said:
        with error:
            try:
                why = msgspec.json.decode(error.read(10_000))["error"]
            except (OSError, ValueError, KeyError, TypeError, msgspec.DecodeError):
                return _Said(url, why=f"it answers {error.code}: no Swirl of this version")
        return _Said(url, missing=True) if error.code == 404 else _Said(url, why=str(why))

    def _read(self, said: _Said, kind: type[Answer]) -> Answer | tuple[str, str] | None:
        if said.why or said.missing:
            return None
        try:
            return msgspec.convert(_with_numbers(said.body), kind)
        except msgspec.ValidationError as error:
            return said.url, f"it speaks as no Swirl of this version does ({error})"


def _with_numbers(body: Any) -> Any:
    """Numbers of evidence that are not known are NaN again, which JSON has not."""
    if isinstance(body, list):
        return [_with_numbers(each) for each in body]
    if not isinstance(body, dict):
        return body
    return {
        key: math.nan if value is None and key in _NUMBERS else _with_numbers(value)
        for key, value in body.items()
    }


def _is_here(url: str) -> bool:
    """The address is of this machine: no proxy is asked for it."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return str(getattr(cause, "strerror", None) or cause).lower()


def _nobody(silent: dict[str, str]) -> str:
    told = "; ".join(f"{url} ({why})" for url, why in silent.items())
    return (
        f"nobody answers: {told}. Watch with swirl.watch() in the pipeline's process or with 'swirl worker'; "
        f"if it serves elsewhere, set SWIRL_HTTP as it has it, or give --url {_elsewhere(silent)}"
    )


def _elsewhere(silent: Iterable[str]) -> str:
    """The page that the process with the state here was last known to serve, unless it is silent too."""
    from swirl.cli.page_command import address

    try:
        parts = urllib.parse.urlsplit(address())
    except SettingsError:
        return "http://host:port"
    known = f"{parts.scheme}://{parts.netloc}"
    return known if parts.netloc and known not in silent else "http://host:port"


def track_of(answer: TrackAnswer) -> Track:
    """A series as the charts take it."""

    def column(values: Sequence[float | None]) -> Any:
        return np.array([math.nan if value is None else value for value in values], np.float64)

    return Track(
        SeriesKey(answer.stage, answer.metric, answer.label),
        np.array(answer.start_ms, np.int64),
        column(answer.value),
        column(answer.expected),
        column(answer.low),
        column(answer.high),
        np.array(answer.state, np.uint8),
        answer.window_ms,
    )

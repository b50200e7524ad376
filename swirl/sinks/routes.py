"""Which incident is told in which channel, whom it wakes, and what waits until the morning. Pure."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from swirl.errors import SettingsError

if TYPE_CHECKING:
    from swirl.effect import Incident

__all__ = ["QuietHours", "Route", "Routes", "parse_routes", "read_routes"]

_PATTERNS = ("pipeline", "stage", "cause", "severity")
_SEVERITIES = ("degraded", "tripped")
_QUIET = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?")
_MENTION = re.compile(r"@(here|channel|everyone)|([UW][A-Z0-9]{4,})|(S[A-Z0-9]{4,})")


class QuietHours(NamedTuple):
    """A part of each day in which what can wait is held.

    Attributes:
        start, end: local times of day; an end before the start is on the next day.
        zone: whose.
    """

    start: time
    end: time
    zone: ZoneInfo

    def left(self, seconds: float) -> float:
        """How many seconds they still last; 0 outside of them.

        Args:
            seconds: now, since 1970.

        Example:
            >>> night = QuietHours(time(22), time(7), ZoneInfo("Europe/Berlin"))
            >>> night.left(1795230740)  # 04:12:20 in Berlin
            10060.0
        """
        now = datetime.fromtimestamp(seconds, UTC).astimezone(self.zone)
        of_day = now.time()
        if self.start < self.end:
            inside = self.start <= of_day < self.end
        else:
            inside = of_day >= self.start or of_day < self.end
        if not inside:
            return 0.0
        day = now.date() + timedelta(days=of_day >= self.end)
        over = datetime.combine(day, self.end, self.zone)
        return max(0.0, over.timestamp() - seconds)


class Route(NamedTuple):
    """Where an incident is told.

    Attributes:
        channel: name or id.
        mention: who is called by what wakes people, in Slack's own words (``"<!here>"``); ``""``: nobody.
        quiet: when what can wait is held; None: never.
        patterns: parts of an incident, each with shell patterns of which one must match.
    """

    channel: str
    mention: str = ""
    quiet: QuietHours | None = None
    patterns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def matches(self, **parts: str) -> bool:
        """Whether this is for an incident with these parts; a part that is not known matches ``*`` only."""
        return all(
            any(fnmatchcase(parts.get(part, ""), pattern) for pattern in allowed)
            for part, allowed in self.patterns
        )


class Routes(NamedTuple):
    """All routes, in their order; the first that matches counts.

    Attributes:
        routes: of the file.
        default: where nothing matches.
    """

    routes: tuple[Route, ...]
    default: Route

    def of(self, incident: Incident) -> Route:
        """Where an incident is told as it stands."""
        parts = {part: getattr(incident, part) for part in _PATTERNS}
        return next((route for route in self.routes if route.matches(**parts)), self.default)

    def of_work(self, pipeline: str, stage: str) -> Route:
        """Where planned work is told: it has neither cause nor severity."""
        matching = (route for route in self.routes if route.matches(pipeline=pipeline, stage=stage))
        return next(matching, self.default)

    @property
    def channels(self) -> tuple[str, ...]:
        """All of them, each once, that of the default first."""
        return tuple(dict.fromkeys(route.channel for route in (self.default, *self.routes)))


def read_routes(path: str, channel: str) -> Routes:
    """The routes of a file.

    Args:
        path: of ``SWIRL_SLACK_ROUTES``, ``""`` for no file.
        channel: where nothing matches.

    Raises:
        SettingsError: see :func:`parse_routes`.
    """
    if not path:
        return Routes((), Route(channel))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"SWIRL_SLACK_ROUTES names {path!r}, which cannot be read ({error})") from None
    return parse_routes(text, path, channel)


def parse_routes(text: str, name: str, channel: str) -> Routes:
    """The routes that a text in TOML tells, one ``[[route]]`` each.

    Args:
        text: of the file.
        name: of the file, for errors.
        channel: where nothing matches.

    Raises:
        SettingsError: it cannot be used; the message names the file, the route and what to write.

    Example:
        >>> told = '''
        ... [[route]]
        ... pipeline = "ads*"
        ... severity = "tripped"
        ... channel = "#ads-oncall"
        ... mention = "@here"
        ... '''
        >>> parse_routes(told, "routes.toml", "#ml").routes[0].mention
        '<!here>'
    """
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name} is no TOML: {error}") from None
    routes = told.pop("route", [])
    if told or not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
        odd = f" It has {', '.join(sorted(told))}." if told else ""
        raise SettingsError(f"{name} must hold tables [[route]] and nothing else.{odd}")
    found = tuple(_route(route, f"{name}, route {number}") for number, route in enumerate(routes, 1))
    return Routes(found, Route(channel))


def _route(told: dict[str, Any], where: str) -> Route:
    known = {*_PATTERNS, "channel", "mention", "quiet"}
    if odd := sorted(told.keys() - known):
        raise SettingsError(f"{where} has {', '.join(odd)}; it may have {', '.join(sorted(known))}")
    for key in ("channel", "mention", "quiet"):
        if not isinstance(told.get(key, ""), str):
            raise SettingsError(f'{where}: {key} must be a text, such as {key} = "{_SUCH[key]}"')
    if not told.get("channel"):
        raise SettingsError(f'{where} has no channel; write channel = "{_SUCH["channel"]}"')
    patterns = tuple((part, _patterns(told[part], part, where)) for part in _PATTERNS if part in told)
    return Route(
        told["channel"],
        _mention(told.get("mention", ""), where),
        _quiet(told.get("quiet", ""), where),
        patterns,
    )


_SUCH = {"channel": "#ads-oncall", "mention": "@here", "quiet": "22:00-07:00 Europe/Berlin"}


def _patterns(told: Any, part: str, where: str) -> tuple[str, ...]:
    listed = told if isinstance(told, list) else [told]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise SettingsError(
            f'{where}: {part} must be a pattern or a list of patterns, such as {part} = "ads*"'
        )
    if part == "severity" and not all(any(fnmatchcase(s, one) for s in _SEVERITIES) for one in listed):
        raise SettingsError(f"{where}: severity is {told!r}; it must be {' or '.join(_SEVERITIES)}")
    return tuple(listed)


def _mention(told: str, where: str) -> str:
    if not told:
        return ""
    found = _MENTION.fullmatch(told)
    if found is None:
        raise SettingsError(
            f"{where}: mention is {told!r}; write @here, @channel, @everyone, "
            "or the id of a user (U0123ABCD) or of a user group (S0123ABCD)"
        )
    everybody, user, group = found.groups()
    return f"<!{everybody}>" if everybody else f"<@{user}>" if user else f"<!subteam^{group}>"


def _quiet(told: str, where: str) -> QuietHours | None:
    if not told:
        return None
    found = _QUIET.fullmatch(told.strip())
    try:
        if found is None:
            raise ValueError  # noqa: TRY301 - what cannot be read is told the same way as what makes no sense
        start, end = (time(int(found[i]), int(found[i + 1])) for i in (1, 3))
        quiet = QuietHours(start, end, ZoneInfo(found[5] or "UTC"))
    except (ValueError, OSError):
        raise SettingsError(
            f'{where}: quiet is {told!r}; write two times and a zone, such as "{_SUCH["quiet"]}"'
        ) from None
    except KeyError:
        raise SettingsError(
            f"{where}: no time zone {found[5] if found else ''!r} is known here; "
            "write one such as Europe/Berlin or UTC"
        ) from None
    if quiet.start == quiet.end:
        raise SettingsError(f"{where}: quiet is {told!r}; its two times must differ")
    return quiet

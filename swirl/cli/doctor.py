"""``swirl doctor``: tests a deployment from settings to Slack, and says what is wrong and what to do."""

from __future__ import annotations

import difflib
import http.client
import os
import platform
import re
from collections import Counter
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swirl.cli import doctor_kafka
from swirl.cli.finding import Finding, bounded
from swirl.cli.topics import quiet_kafka
from swirl.errors import MissingExtraError, SettingsError
from swirl.settings import KafkaSettings, MonitorSettings, Settings, WatchSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

__all__ = ["diagnose", "run"]

_LONGEST = 15.0
"""Seconds that one finding may take."""
_PATIENCE = 3.0
"""Seconds that a local server may take to answer."""

_PINNED = ("kafka-python", "faust-streaming", "aiokafka", "mode-streaming")


def run(say: Callable[[str], object], environ: Mapping[str, str] | None = None) -> int:
    """Say line by line what is found; 0 if nothing fails, otherwise 1."""
    quiet_kafka()
    environ = os.environ if environ is None else environ
    secrets = _secrets(environ)
    counts: Counter[str] = Counter()
    for state, what, do in diagnose(environ):
        counts[state] += 1
        say(_without(secrets, f"{state:<4}  {what}"))
        if do:
            say(_without(secrets, f"      -> {do}"))
    say(f"{counts['ok']} ok, {counts['warn']} warn, {counts['FAIL']} FAIL")
    return 1 if counts["FAIL"] else 0


def diagnose(environ: Mapping[str, str]) -> Iterator[Finding]:
    """All findings, as they are made."""
    yield from _versions()
    known = yield from _settings(environ)
    if KafkaSettings in known and WorkerSettings in known and MonitorSettings in known:
        kafka = doctor_kafka.diagnose(
            known[KafkaSettings], known[WorkerSettings], known[MonitorSettings].skew_seconds
        )
        yield from bounded(kafka, _LONGEST)
    if WatchSettings in known:
        yield from bounded(_server(known[WatchSettings]), _LONGEST)
        yield from bounded(_slack(known[WatchSettings]), _LONGEST)


def _versions() -> Iterator[Finding]:
    yield Finding("ok", f"Swirl {metadata.version('swirl-monitor')}, Python {platform.python_version()}")
    wanted = _pins()
    for name in _PINNED:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # a pipeline needs none of the worker's
        if _satisfies(version, wanted.get(name, "")):
            yield Finding("ok", f"{name} {version}")
        else:
            yield Finding(
                "FAIL", f"{name} is {version}; Swirl was tested with {wanted[name]}", "install Swirl again"
            )


def _pins() -> dict[str, str]:
    found = (
        re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)", line)
        for line in metadata.requires("swirl-monitor") or ()
    )
    return {match[1]: match[2].strip() for match in found if match}


def _satisfies(version: str, wanted: str) -> bool:
    """Whether a version is within bounds; only those signs that our own bounds have.

    Example:
        >>> _satisfies("3.0.12", ">=3.0.12,<3.1"), _satisfies("3.1.0", ">=3.0.12,<3.1")
        (True, False)
    """
    now = _numbers(version)
    for bound in filter(None, wanted.split(",")):
        sign, than = re.match(r"\s*(==|>=|<|)(.*)", bound).groups()  # type: ignore[union-attr] # matches all
        holds = {"==": now == _numbers(than), ">=": now >= _numbers(than), "<": now < _numbers(than)}
        if not holds.get(sign, True):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _settings(environ: Mapping[str, str]) -> Generator[Finding, None, dict[type[Settings], Any]]:
    """What each part of the settings says; returns those that can be used, by their kind."""
    known: dict[type[Settings], Any] = {}
    for kind in Settings.__subclasses__():
        try:
            known[kind] = kind.from_environment(environ)
        except SettingsError as error:
            yield Finding("FAIL", str(error), "see 'swirl settings'")
    if len(known) == len(Settings.__subclasses__()):
        yield Finding("ok", "all settings can be used, and the files of secrets can be read")
    variables = _variables()
    for name in sorted(environ):
        if name.startswith("SWIRL_") and name not in variables:
            near = difflib.get_close_matches(name, variables, 1)
            do = f"did you mean {near[0]}?" if near else "see 'swirl settings'"
            yield Finding("warn", f"{name} is set, but is no setting", do)
    return known


def _variables() -> dict[str, bool]:
    """Every variable, and whether it holds a secret."""
    specs = [spec for kind in Settings.__subclasses__() for spec in fields(kind)]
    plain = {spec.metadata["variable"]: not spec.repr for spec in specs}
    return plain | {f"{variable}_FILE": False for variable, secret in plain.items() if secret}


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """What must never be said, the longest first."""
    found = []
    for variable, secret in _variables().items():
        if secret and variable in environ:
            found.append(environ[variable])
        elif secret and f"{variable}_FILE" in environ:
            try:
                found.append(Path(environ[f"{variable}_FILE"]).read_text(encoding="utf-8").strip())
            except (OSError, ValueError):
                continue  # the settings say so
    return sorted((value for value in found if len(value) > 3), key=len, reverse=True)


def _without(secrets: list[str], line: str) -> str:
    for secret in secrets:
        line = line.replace(secret, "(secret)")
    return line


def _server(settings: WatchSettings) -> Iterator[Finding]:
    """What serves ``/livez`` and ``/readyz`` on this machine."""
    if not settings.http:
        yield Finding("ok", "SWIRL_HTTP is empty: /livez and /readyz are not served, nor tested")
        return
    for path, do in (
        ("/livez", "it gives up and is started again, or restart it"),
        ("/readyz", "wait until its state is restored; its log says what it waits for"),
    ):
        where = f"http://{settings.http}{path}"
        try:
            status, text = _get(settings.http, path)
        except (OSError, ValueError, http.client.HTTPException) as error:
            yield Finding(
                "warn",
                f"nothing answers at {where} ({error})",
                "fine if no worker runs on this machine; otherwise start 'swirl worker'",
            )
            return
        good = status == http.client.OK
        yield Finding("ok" if good else "FAIL", f"{where} answers {status}: {text}", "" if good else do)


def _get(address: str, path: str) -> tuple[int, str]:
    parts = urlsplit(f"//{address}")
    host = "127.0.0.1" if parts.hostname in {"0.0.0.0", "::", None} else parts.hostname  # noqa: S104 - asks, serves not
    connection = http.client.HTTPConnection(str(host), parts.port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(500).decode(errors="replace").strip()
    finally:
        connection.close()


def _slack(settings: WatchSettings) -> Iterator[Finding]:
    if settings.slack_token:
        yield from _bot(settings)
    elif settings.slack_webhook:
        yield _webhook(settings.slack_webhook)
    else:
        yield Finding(
            "warn", "Slack is not set up: no channel is told", "set SWIRL_SLACK_WEBHOOK, or SWIRL_SLACK_TOKEN"
        )


def _bot(settings: WatchSettings) -> Iterator[Finding]:
    try:
        from slack_sdk import WebClient
        from slack_sdk.errors import SlackClientError
    except ImportError:
        raise MissingExtraError("slack-sdk", "watch") from None
    from swirl.sinks.slack_client import ADVICE

    client = WebClient(token=settings.slack_token, base_url=settings.slack_url, timeout=5, retry_handlers=[])
    try:
        answer = client.auth_test()
    except SlackClientError as error:
        said = getattr(error, "response", {})
        code = str(said.get("error", "")) if hasattr(said, "get") else ""
        what = f"Slack refuses the bot: {code}" if code else f"Slack's answer cannot be read: {error}"
        yield Finding("FAIL", what, ADVICE.get(code, "check SWIRL_SLACK_TOKEN and SWIRL_SLACK_URL"))
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        yield Finding(
            "FAIL",
            f"Slack cannot be reached ({error})",
            "check SWIRL_SLACK_URL, and the way out of this network",
        )
        return
    yield Finding("ok", f"Slack knows the bot as {answer.get('user')} of {answer.get('team')}")
    scopes = next(
        (str(value) for name, value in answer.headers.items() if name.lower() == "x-oauth-scopes"), ""
    )
    if scopes and "chat:write" not in re.split(r"[\s,]+", scopes):
        yield Finding("FAIL", f"the bot may only {scopes}", ADVICE["missing_scope"])
    if settings.slack_channel:
        yield Finding(
            "ok", f"not tested: whether the bot may write to {settings.slack_channel}; nothing is posted"
        )
    else:
        yield Finding("FAIL", "the bot has no channel", "set SWIRL_SLACK_CHANNEL")


def _webhook(address: str) -> Finding:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return Finding(
            "FAIL", "SWIRL_SLACK_WEBHOOK is no address", "it begins with https://hooks.slack.com/services/"
        )
    if not re.fullmatch(r"/services/\w+/\w+/\w+", parts.path):
        return Finding(
            "warn",
            f"SWIRL_SLACK_WEBHOOK leads to {parts.hostname}, and does not look like an incoming webhook",
            "compare it with the app's page: https://hooks.slack.com/services/T.../B.../...",
        )
    return Finding("ok", f"SWIRL_SLACK_WEBHOOK looks right ({parts.hostname}); nothing is posted to test it")

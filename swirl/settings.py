"""Settings: typed, frozen, each readable from one environment variable.

A secret may also lie in a file, which the variable with ``_FILE`` at its end names. Nothing is read at
import: ``EmitterSettings.from_environment()`` is called when a pipeline is made, others by who needs them.
"""

from __future__ import annotations

import os
import re
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from swirl.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EmitterSettings",
    "KafkaSettings",
    "MonitorSettings",
    "Settings",
    "WatchSettings",
    "WorkerSettings",
]

_MOST = 1e9
"""Of any number: 30 years in seconds, and what a thread can still be told to wait for."""
_WANTED = {bool: "1 or 0", int: "a whole number", float: "a number", str: "a text"}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def _setting(
    variable: str,
    default: float | str | bool,  # noqa: FBT001 - a default may be a bool
    doc: str,
    *,
    above: float | None = None,
    least: float | None = None,
    secret: bool = False,
) -> Any:
    """A field with its variable, its meaning and its bounds."""
    metadata = {"variable": variable, "doc": doc, "above": above, "least": least}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """The base: checks bounds, reads the environment."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            value, above, least = getattr(self, spec.name), spec.metadata["above"], spec.metadata["least"]
            if not _is_a(type(spec.default), value):
                raise SettingsError(
                    f"{spec.metadata['variable']} ({spec.name}) is {_shown(spec, value)}; "
                    f"it must be {_WANTED[type(spec.default)]}"
                )
            if type(spec.default) in (int, float) and value > _MOST:
                raise SettingsError(
                    f"{spec.metadata['variable']} ({spec.name}) is {value!r}; it must be at most {_MOST:,.0f}"
                )
            if above is not None and not value > above:
                raise SettingsError(
                    f"{spec.metadata['variable']} ({spec.name}) is {value!r}; it must be above {above:g}"
                )
            if least is not None and not value >= least:
                raise SettingsError(
                    f"{spec.metadata['variable']} ({spec.name}) is {value!r}; it must be at least {least:g}"
                )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Settings from variables; what is ``given`` and not None goes before them.

        Raises:
            SettingsError: a value cannot be used; the message names the variable.
        """
        environ = os.environ if environ is None else environ
        values = {name: value for name, value in given.items() if value is not None}
        for spec in fields(cls):
            variable = spec.metadata["variable"]
            if spec.name in values:
                continue
            if variable in environ:
                values[spec.name] = _parse(variable, environ[variable], type(spec.default))
            elif not spec.repr and f"{variable}_FILE" in environ:
                values[spec.name] = _read(f"{variable}_FILE", environ[f"{variable}_FILE"])
        return cls(**values)


def _read(variable: str, path: str) -> str:
    """A secret that lies in a file, as orchestrators mount them."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{variable} names {path!r}, which cannot be read ({error})") from None


def _parse(variable: str, text: str, kind: type) -> Any:
    word = text.strip().lower()
    if kind is bool and word in _TRUE | _FALSE:
        return word in _TRUE
    try:
        if kind is not bool:
            return kind(text)
    except ValueError:
        pass
    raise SettingsError(f"{variable} is {text!r}; it must be {_WANTED[kind]}")


def _is_a(kind: type, value: object) -> bool:
    """Whether a setting of this kind may have the value; its bounds are another matter."""
    if kind in (bool, str):
        return isinstance(value, kind)
    numbers = (int, float) if kind is float else int
    return isinstance(value, numbers) and not isinstance(value, bool)


def _shown(spec: Field[Any], value: object) -> str:
    return repr(value) if spec.repr else f"of type {type(value).__name__}"


@dataclass(frozen=True)
class EmitterSettings(Settings):
    """What lives inside the user's pipeline."""

    off: bool = _setting(
        "SWIRL_OFF", default=False, doc="1: decorated functions are the bare functions; nothing is measured"
    )
    flush_seconds: float = _setting(
        "SWIRL_FLUSH_SECONDS", 1.0, "time between two frames of a pipeline", above=0
    )
    buffer_records: int = _setting(
        "SWIRL_BUFFER_RECORDS",
        200_000,
        "records that wait for a flush, per pipeline; more are dropped and counted",
        least=100,
    )
    buffer_frames: int = _setting(
        "SWIRL_BUFFER_FRAMES",
        256,
        "frames that wait for the transport; the oldest are dropped and counted",
        least=1,
    )
    exit_seconds: float = _setting(
        "SWIRL_EXIT_SECONDS", 1.0, "longest wait for the last frame when the process ends", least=0
    )
    sigterm: bool = _setting(
        "SWIRL_SIGTERM",
        default=True,
        doc="0: SIGTERM ends the process at once; 1: after the last frame, if the program does not handle it",
    )
    labels: int = _setting(
        "SWIRL_LABELS",
        50,
        "labels, reasons and categories kept apart per metric; the rest is (other)",
        least=1,
    )


@dataclass(frozen=True)
class MonitorSettings(Settings):
    """What decides."""

    window_seconds: float = _setting(
        "SWIRL_WINDOW_SECONDS", 10.0, "length of a window, event time: whole seconds", least=1
    )
    lateness_seconds: float = _setting(
        "SWIRL_LATENESS_SECONDS", 5.0, "how long a window waits for late records after its end", least=0
    )
    skew_seconds: float = _setting(
        "SWIRL_SKEW_SECONDS", 60.0, "event times further ahead of the log are counted as future", least=0
    )
    retained_windows: int = _setting(
        "SWIRL_RETAINED_WINDOWS", 6, "closed windows that late records may still revise", least=0
    )
    false_alarms_a_week: float = _setting(
        "SWIRL_FALSE_ALARMS_A_WEEK",
        1.0,
        "the budget: at most so many false alarms a week per pipeline",
        above=0,
    )
    warm_up_windows: int = _setting(
        "SWIRL_WARM_UP_WINDOWS",
        60,
        "windows before which only overwhelming evidence raises an alarm",
        least=10,
    )
    calm_windows: int = _setting(
        "SWIRL_CALM_WINDOWS", 30, "calm windows after which an incident is resolved", least=1
    )
    silence_seconds: float = _setting(
        "SWIRL_SILENCE_SECONDS",
        10.0,
        "an emitter that said no goodbye and is not heard for so long is missing",
        above=0,
    )
    series: int = _setting(
        "SWIRL_SERIES", 20_000, "series per pipeline; further ones are counted and left out", least=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window_seconds != int(self.window_seconds):
            raise SettingsError(
                f"SWIRL_WINDOW_SECONDS (window_seconds) is {self.window_seconds!r}; "
                "it must be a whole number of seconds"
            )


@dataclass(frozen=True)
class WatchSettings(Settings):
    """How the monitor is reached and whom it tells."""

    slack_webhook: str = _setting("SWIRL_SLACK_WEBHOOK", "", "incoming webhook of a channel", secret=True)
    slack_token: str = _setting(
        "SWIRL_SLACK_TOKEN",
        "",
        "bot token (xoxb-...): threads and edits instead of single messages",
        secret=True,
    )
    slack_channel: str = _setting("SWIRL_SLACK_CHANNEL", "", "channel for the bot, such as #ads-oncall")
    slack_url: str = _setting("SWIRL_SLACK_URL", "https://slack.com/api/", "where the bot talks to")
    slack_show_labels: bool = _setting(
        "SWIRL_SLACK_SHOW_LABELS",
        default=False,
        doc="1: labels, segments and reasons of invalid records may be shown in Slack and Alertmanager",
    )
    slack_signing_secret: str = _setting(
        "SWIRL_SLACK_SIGNING_SECRET",
        "",
        "of the Slack app: buttons work over HTTP, at /slack/acts of SWIRL_HTTP",
        secret=True,
    )
    slack_app_token: str = _setting(
        "SWIRL_SLACK_APP_TOKEN",
        "",
        "app-level token (xapp-...): buttons work over Socket Mode, without an open port",
        secret=True,
    )
    slack_routes: str = _setting(
        "SWIRL_SLACK_ROUTES", "", "TOML file: which incidents go to which channel, quiet hours, mentions"
    )
    alertmanager: str = _setting(
        "SWIRL_ALERTMANAGER", "", "address of an Alertmanager, such as http://localhost:9093"
    )
    alertmanager_seconds: float = _setting(
        "SWIRL_ALERTMANAGER_SECONDS",
        60.0,
        "time after which open incidents and the heartbeat are sent to it again",
        above=0,
    )
    url: str = _setting("SWIRL_URL", "", "where people reach this page, for links; empty: none in messages")
    runbook: str = _setting("SWIRL_RUNBOOK", "", "address of your runbook, for links")
    http: str = _setting(
        "SWIRL_HTTP", "127.0.0.1:9464", "address of the page, /metrics, /livez and /readyz; empty: none"
    )
    http_token: str = _setting(
        "SWIRL_HTTP_TOKEN", "", "lets a browser act on incidents; empty: a new one at each start", secret=True
    )
    state: str = _setting("SWIRL_STATE", "", "folder of the state; empty: ~/.local/state/swirl")


_SERVER = re.compile(r"(?:[\w.-]+|\[[^\[\]]+\]):([0-9]+)")
"""A name or an address, that of IPv6 in brackets, and a port."""

_CHOICES = {
    "protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
}


@dataclass(frozen=True)
class KafkaSettings(Settings):
    """Where Kafka is, and how to be let in. The same for pipelines, workers and commands."""

    kafka: str = _setting(
        "SWIRL_KAFKA", "", "brokers, host:port with commas between; empty: frames stay on this machine"
    )
    topics: str = _setting("SWIRL_TOPICS", "swirl", "what the names of all topics begin with")
    protocol: str = _setting(
        "SWIRL_KAFKA_PROTOCOL", "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    mechanism: str = _setting(
        "SWIRL_KAFKA_MECHANISM", "SCRAM-SHA-512", "of SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    user: str = _setting("SWIRL_KAFKA_USER", "", "user for SASL")
    password: str = _setting("SWIRL_KAFKA_PASSWORD", "", "password for SASL", secret=True)
    ca: str = _setting("SWIRL_KAFKA_CA", "", "file of the authority to trust; empty: those of the system")
    certificate: str = _setting("SWIRL_KAFKA_CERTIFICATE", "", "file of this client's own certificate")
    key: str = _setting("SWIRL_KAFKA_KEY", "", "file of the key to that certificate")

    def __post_init__(self) -> None:
        super().__post_init__()
        for spec in fields(self):
            allowed = _CHOICES.get(spec.name, ())
            if allowed and getattr(self, spec.name) not in allowed:
                raise SettingsError(
                    f"{spec.metadata['variable']} ({spec.name}) is {getattr(self, spec.name)!r}; "
                    f"it must be one of {', '.join(allowed)}"
                )
        for server in self.servers:
            match = _SERVER.fullmatch(server)
            if match is None or not 0 < int(match[1]) < 65536:
                raise SettingsError(
                    f"SWIRL_KAFKA (kafka) has {server!r}; "
                    "each broker must be host:port, such as localhost:9092"
                )
        if self.protocol.startswith("SASL") and not (self.user and self.password):
            raise SettingsError(
                f"SWIRL_KAFKA_PROTOCOL is {self.protocol}; set SWIRL_KAFKA_USER and SWIRL_KAFKA_PASSWORD"
            )

    @property
    def servers(self) -> list[str]:
        """The brokers."""
        return [server.strip() for server in self.kafka.split(",") if server.strip()]


@dataclass(frozen=True)
class WorkerSettings(Settings):
    """How a worker works."""

    group: str = _setting("SWIRL_GROUP", "swirl", "consumer group of the workers that share the work")
    snapshot_seconds: float = _setting(
        "SWIRL_SNAPSHOT_SECONDS",
        30.0,
        "time between two snapshots of a pipeline: what is folded again after a crash",
        above=0,
    )
    session_seconds: float = _setting(
        "SWIRL_SESSION_SECONDS", 10.0, "a worker not heard by Kafka for so long loses its partitions", least=6
    )
    stalled_seconds: float = _setting(
        "SWIRL_STALLED_SECONDS",
        15.0,
        "a worker without progress for so long gives up, with an exit code",
        least=1,
    )
    grace_seconds: float = _setting(
        "SWIRL_GRACE_SECONDS", 8.0, "longest time that a worker takes to stop", above=0
    )
    dead_letters: bool = _setting(
        "SWIRL_DEAD_LETTERS", default=True, doc="0: records that cannot be read are counted, not kept"
    )

"""Analytics for analytics: one decorator tells which stage of an ML pipeline broke, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swirl.errors import (
    DefinitionError,
    FrameError,
    Invalid,
    MissingExtraError,
    SettingsError,
    SnapshotError,
    SwirlError,
)
from swirl.frame import Verdict
from swirl.sdk.acts import (
    acknowledge,
    confirm,
    false_alarm,
    mute,
    new_normal,
    resolve,
    snooze,
    unmute,
)
from swirl.sdk.kafka import watched as _watched_elsewhere
from swirl.sdk.pipeline import Pipeline
from swirl.sdk.reference import Reference

if TYPE_CHECKING:
    from swirl.engine.local import LocalEngine
    from swirl.sdk.kafka import KafkaTransport

__all__ = [
    "DefinitionError",
    "FrameError",
    "Invalid",
    "MissingExtraError",
    "Pipeline",
    "Reference",
    "SettingsError",
    "SnapshotError",
    "SwirlError",
    "Verdict",
    "__version__",
    "acknowledge",
    "confirm",
    "false_alarm",
    "mute",
    "new_normal",
    "resolve",
    "snooze",
    "unmute",
    "watch",
]

__version__ = "0.1.0"


def watch(**settings: Any) -> LocalEngine | KafkaTransport:
    """Monitor the pipelines of this process in this process; the extra ``watch`` must be installed.

    Where ``SWIRL_KAFKA`` is set nothing is monitored here: frames go to Kafka and workers watch them, so that
    the same program runs alone and in a deployment.

    Args:
        **settings: those of ``swirl.engine.local.watch``; without effect where workers watch.

    Returns:
        The running watcher, or the way to Kafka; both have ``http``, ``watches``, ``drain`` and ``close``.

    Raises:
        MissingExtraError: ``pip install 'swirl-monitor[watch]'`` has not been done.
        SettingsError: a setting has an unusable value.
    """
    remote = _watched_elsewhere()
    if remote is not None:
        return remote
    try:
        from swirl.engine import local  # noqa: PLC0415 - what only emits need not have what watches installed
    except ModuleNotFoundError as error:
        if (error.name or "swirl").partition(".")[0] == "swirl":
            raise
        raise MissingExtraError(error.name or "", "watch") from None
    return local.watch(**settings)

"""Incidents from Kafka's topic, where no process that watches can be reached."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from swirl.cli.reach import Nobody
from swirl.cli.topics import quiet_kafka
from swirl.cli.watch import Glimpse
from swirl.effect import MuteChanged
from swirl.engine.wire import SCHEMA, IncidentRecord
from swirl.errors import SettingsError
from swirl.frame import Verdict
from swirl.kafka.connect import options
from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings
from swirl.web.api import Step, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swirl.effect import Incident, Mute, Told
    from swirl.web.api import PipelineAnswer

__all__ = ["Topic", "latest"]

_NEWEST = 5_000
"""Records of one partition that are read: what is older is over."""
_PATIENCE_MS = 5_000
_LONGEST_S = 30.0
_INCIDENTS, _STEPS = 2_000, 100

_decoder = msgspec.msgpack.Decoder(IncidentRecord)


def latest() -> list[Incident]:
    """The incidents of the topic as they stand, newest first.

    Raises:
        Nobody: Kafka does not answer, or has no such topic.
        SettingsError: a setting cannot be used.
    """
    with contextlib.closing(Topic(())) as topic:
        return topic.look().incidents


class Topic:
    """Follows the topic of incidents, as a member of no group.

    Args:
        wanted: pipelines; none: all.

    Raises:
        Nobody: Kafka does not answer, or has no such topic.
        SettingsError: SWIRL_KAFKA is not set.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        settings = KafkaSettings.from_environment()
        if not settings.kafka:
            raise SettingsError(
                "SWIRL_KAFKA is not set; it names the brokers that have the topic of incidents"
            )
        quiet_kafka()
        self._name, self._wanted = Topics.of(settings).incidents, frozenset(wanted)
        self._incidents: dict[str, Incident] = {}
        self._steps: dict[str, deque[Step]] = {}
        self._mutes: dict[str, dict[str, Mute]] = {}
        try:
            self._consumer: Any = KafkaConsumer(
                **options(settings),
                client_id="swirl-command",
                enable_auto_commit=False,
                bootstrap_timeout_ms=_PATIENCE_MS,
                metrics_enabled=False,
            )
            self._ends = self._assign()
        except KafkaError as error:
            raise Nobody(f"Kafka does not answer ({error}); 'swirl doctor' says more") from None

    def close(self) -> None:
        """Hang up."""
        self._consumer.close()

    def _assign(self) -> dict[TopicPartition, int]:
        numbers = self._consumer.partitions_for_topic(self._name)
        if not numbers:
            self._consumer.close()
            raise Nobody(f"Kafka has no topic {self._name!r}; 'swirl topics' says more")
        places = [TopicPartition(self._name, number) for number in sorted(numbers)]
        self._consumer.assign(places)
        first, ends = self._consumer.beginning_offsets(places), self._consumer.end_offsets(places)
        for place in places:
            self._consumer.seek(place, max(first[place], ends[place] - _NEWEST))
        return dict(ends)

    def look(self) -> Glimpse:
        """What the topic says up to now."""
        try:
            for change in self._changes():
                self._keep(change)
        except KafkaError as error:
            raise Nobody(f"Kafka does not answer ({error})") from None
        found = sorted(self._incidents.values(), key=lambda i: (i.opened_ms, i.id), reverse=True)
        return Glimpse(self._summaries(found), found, {})

    def steps(self, ident: str) -> Sequence[Step]:
        """The steps of an incident that the topic has."""
        return tuple(self._steps.get(ident, ()))

    def detail(self, name: str) -> PipelineAnswer | None:  # noqa: ARG002 - the topic has no series
        """None: the topic has no series."""
        return None

    def _changes(self) -> Iterator[Told]:
        until = time.monotonic() + _LONGEST_S
        while time.monotonic() < until:
            batches = self._consumer.poll(timeout_ms=200)
            for records in batches.values():
                for record in records:
                    change = _read(record.value)
                    if change is not None and (not self._wanted or change.pipeline in self._wanted):
                        yield change
            if all(self._consumer.position(place) >= end for place, end in self._ends.items()):
                return

    def _keep(self, change: Told) -> None:
        if isinstance(change, MuteChanged):
            mutes = self._mutes.setdefault(change.pipeline, {})
            mutes.pop(change.mute.stage, None)
            if change.transition == "began":
                mutes[change.mute.stage] = change.mute
            return
        incident = change.incident
        before = self._incidents.get(incident.id)
        if before is not None and before.revision >= incident.revision:
            return
        self._incidents[incident.id] = incident
        step = Step(change.transition, incident.revision, change.reply)
        self._steps.setdefault(incident.id, deque(maxlen=_STEPS)).append(step)
        for gone in list(self._incidents)[: max(0, len(self._incidents) - _INCIDENTS)]:
            del self._incidents[gone], self._steps[gone]

    def _summaries(self, incidents: Sequence[Incident]) -> list[Summary]:
        """Of the pipelines that are spoken of; their windows are not in this topic."""
        still = {incident.pipeline: incident for incident in incidents if incident.state == "open"}
        names = sorted({incident.pipeline for incident in incidents} | self._mutes.keys())
        return [
            Summary(
                name,
                Verdict(),
                learning=False,
                start_ms=0,
                window_ms=0,
                series=0,
                judged=0,
                anomalous=0,
                incident=still.get(name),
                mutes=tuple(self._mutes.get(name, {}).values()),
            )
            for name in names
        ]


def _read(payload: bytes | None) -> Told | None:
    try:
        record = _decoder.decode(payload or b"")
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None
    return record.change if record.schema == SCHEMA else None

"""The part of ``swirl doctor`` that looks at Kafka. It reads and asks; it writes nothing."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Literal

from swirl.cli.finding import Finding
from swirl.clock import SystemClock
from swirl.errors import TopicsError
from swirl.kafka.admin import Admin
from swirl.kafka.connect import tls
from swirl.kafka.plan import PARTITIONS, duration, partitions_of, plan, specs
from swirl.kafka.rights import PIPELINE, WORKER, lacking
from swirl.kafka.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swirl.clock import Clock
    from swirl.kafka.admin import Group
    from swirl.kafka.plan import Difference, TopicFound
    from swirl.settings import KafkaSettings, WorkerSettings

__all__ = ["diagnose"]

_PATIENCE = 3.0
"""Seconds that a connection may take."""
_LISTENS = 2.5
"""Seconds that a new frame is waited for."""


def diagnose(
    settings: KafkaSettings, worker: WorkerSettings, skew_seconds: float, clock: Clock | None = None
) -> Iterator[Finding]:
    """From the names of the brokers to the work of the workers; ends where nothing more can be seen.

    Raises:
        TopicsError: the brokers stop answering, or refuse.
        SettingsError: a file of certificates cannot be used.
    """
    clock = clock or SystemClock()
    if not settings.servers:
        yield Finding(
            "warn",
            "SWIRL_KAFKA is empty: frames stay on this machine",
            "set it if there are workers elsewhere",
        )
        return
    reached = [_reached(*_address(server), settings, "SWIRL_KAFKA") for server in settings.servers]
    yield from reached
    if all(finding.state == "FAIL" for finding in reached):
        yield Finding("warn", "not tested: Kafka, for none of its brokers can be reached")
        return
    try:
        admin = Admin(settings, timeout_seconds=2 * _PATIENCE)
    except TopicsError as error:
        yield _not_let_in(error, settings)
        return
    with admin:
        yield from _asked(admin, settings, worker, skew_seconds, clock)


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def _reached(host: str, port: int, settings: KafkaSettings, source: str) -> Finding:
    """Whether a broker has an address, answers there, and shows a certificate that we trust."""
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE) as connection:
            context = tls(settings)
            if context is None:
                return Finding("ok", f"{where} can be reached")
            with context.wrap_socket(connection, server_hostname=host) as safe:
                return Finding(
                    "ok", f"{where} can be reached, and its certificate is trusted ({safe.version()})"
                )
    except socket.gaierror as error:
        return Finding(
            "FAIL",
            f"{host} has no address ({error.strerror})",
            f"check the name in {source}, and this network's DNS",
        )
    except ssl.SSLCertVerificationError as error:
        do = "set SWIRL_KAFKA_CA to the file of the authority that signed it"
        if "ostname" in error.verify_message or "IP address" in error.verify_message:
            do = f"use the name in {source} that the certificate was made for"
        return Finding("FAIL", f"the certificate of {where} is not trusted ({error.verify_message})", do)
    except ssl.SSLError as error:
        what = f"{where} does not speak TLS as it should ({error.reason or error})"
        return Finding("FAIL", what, "check SWIRL_KAFKA_PROTOCOL, and whether this port is the one for it")
    except TimeoutError:
        what = f"{where} does not answer within {_PATIENCE:g} s"
        return Finding("FAIL", what, "check firewalls, and whether the broker hangs")
    except OSError as error:
        return Finding(
            "FAIL",
            f"{where} cannot be reached ({error.strerror or error})",
            "check host and port, start the broker",
        )


def _not_let_in(error: TopicsError, settings: KafkaSettings) -> Finding:
    do = error.do
    if error.passing:
        do = f"SWIRL_KAFKA_PROTOCOL is {settings.protocol}: check that this port expects just that"
    return Finding("FAIL", str(error).removesuffix(f"; {error.do}"), do)


def _asked(
    admin: Admin, settings: KafkaSettings, worker: WorkerSettings, skew_seconds: float, clock: Clock
) -> Iterator[Finding]:
    brokers = admin.brokers()
    user = f"user {settings.user!r}" if settings.protocol.startswith("SASL") else "everybody"
    yield Finding("ok", f"{user} is let in ({settings.protocol}); brokers: {len(brokers)}")
    others = [broker for broker in brokers if f"{broker.host}:{broker.port}" not in settings.servers]
    told = [
        _reached(broker.host, broker.port, settings, f"advertised.listeners of broker {broker.id}")
        for broker in others
    ]
    yield from told
    if any(finding.state == "FAIL" for finding in told):
        return  # every further question would go to these addresses
    names = Topics.of(settings)
    found = admin.topics(names)
    yield from _topics(names, found, len(brokers))
    yield from _rights(names, found)
    frames = next((topic for topic in found if topic.name == names.frames and not topic.hidden), None)
    if frames is not None:
        yield from _work(admin.group(worker.group, frames.name), admin, frames, worker, clock)
        yield _clocks(admin, frames, skew_seconds, clock)
    yield Finding("ok", "not tested: writing a record, for nothing is to be counted that no pipeline sent")


def _topics(names: Topics, found: Sequence[TopicFound], brokers: int) -> Iterator[Finding]:
    number = partitions_of(found) or PARTITIONS
    differences = plan(specs(names, partitions=number), found)
    yield from (_difference(difference) for difference in differences)
    if not differences:
        kept = sum(topic.records for topic in found if topic.name == names.frames)
        yield Finding("ok", f"the 6 topics {names.frames.rpartition('.')[0]}.* are as they must be")
        yield Finding("ok", f"{number} partitions each; {kept:,} frames are kept")
    single = [topic.name for topic in found if topic.replicas == 1]
    if single and brokers > 1:
        yield Finding(
            "warn",
            f"{', '.join(single)}: one copy only, and {brokers} brokers",
            "have Kafka make copies (kafka-reassign-partitions.sh), or a broken disk loses them",
        )


def _difference(difference: Difference) -> Finding:
    do = {"missing": "swirl topics --create", "differs": "swirl topics --apply"}.get(difference.kind, "")
    words = difference.words
    if not do:
        words, _, do = words.partition("; ")
    return Finding("FAIL" if difference.loses else "warn", f"{difference.topic}: {words}", do)


def _rights(names: Topics, found: Sequence[TopicFound]) -> Iterator[Finding]:
    """What the user may do, where the brokers say so."""
    if not any(topic.rights for topic in found):
        return
    lacks_of = {
        role: [f"{right} on {topic}" for right, topic in lacking(names, found, needs)]
        for role, needs in (("pipeline", PIPELINE), ("worker", WORKER))
    }
    able = [role for role, lacks in lacks_of.items() if not lacks]
    if able:
        yield Finding("ok", f"this user has the rights of a {' and of a '.join(able)} on the topics")
    for role, lacks in lacks_of.items():
        if lacks:
            what = f"this user may not work as a {role}: it lacks {', '.join(lacks)}"
            yield Finding("warn" if able else "FAIL", what, "give it with kafka-acls.sh, if it is to be one")


def _work(
    group: Group, admin: Admin, frames: TopicFound, worker: WorkerSettings, clock: Clock
) -> Iterator[Finding]:
    """Whether there are workers, and whether they keep up."""
    waiting = {
        partition: frames.end[partition] - group.committed.get(partition, frames.begin[partition])
        for partition in range(frames.partitions)
    }
    total = sum(waiting.values())
    if not group.state:
        yield Finding(
            "warn", f"no worker was ever here: there is no group {worker.group}", "start 'swirl worker'"
        )
    elif not group.members:
        state: Literal["FAIL", "warn"] = "FAIL" if total else "warn"
        yield Finding(
            state, f"no worker runs in group {worker.group}; {total:,} frames wait", "start 'swirl worker'"
        )
    else:
        hosts = ", ".join(f"{host} ({partitions} partitions)" for host, partitions in group.members)
        yield Finding("ok", f"group {worker.group} is {group.state}; workers: {hosts}")
        yield _behind(waiting, admin, frames, group, worker, clock)


def _behind(
    waiting: dict[int, int],
    admin: Admin,
    frames: TopicFound,
    group: Group,
    worker: WorkerSettings,
    clock: Clock,
) -> Finding:
    """Frames are acknowledged after a snapshot, so the youngest of them always wait."""
    allowed = 2 * worker.snapshot_seconds + worker.stalled_seconds
    old = admin.offsets_at(frames, clock.time_ns() // 1_000_000 - round(allowed * 1000))
    late = [
        partition
        for partition, offset in enumerate(old)
        if group.committed.get(partition, frames.begin[partition]) < offset
    ]
    if not late:
        return Finding("ok", f"workers keep up: no frame waits longer than {duration(allowed)}")
    told = ", ".join(f"{partition} ({waiting[partition]:,} frames)" for partition in late)
    return Finding(
        "FAIL",
        f"partitions wait longer than {duration(allowed)}: {told}",
        "see the log of the worker that has them; if all are busy, start more workers",
    )


def _clocks(admin: Admin, frames: TopicFound, skew_seconds: float, clock: Clock) -> Finding:
    """The brokers' clock beside ours, by a frame that arrives while we look."""
    first = admin.newest_ms(frames)
    until, asked = clock.ticks() + round(_LISTENS * 1e9), clock.time_ns() // 1_000_000
    while clock.ticks() < until:
        threading.Event().wait(0.1)
        newest, now = admin.newest_ms(frames), clock.time_ns() // 1_000_000
        if newest > first:
            return _difference_of_clocks(max(0, newest - now) - max(0, asked - newest), skew_seconds)
        asked = now - 100
    if first > asked + 1000:
        return _difference_of_clocks(first - asked, skew_seconds)
    age = f"the newest is {duration((asked - first) / 1000)} old" if first >= 0 else "there is none yet"
    return Finding(
        "warn", f"not tested: clocks, for no frame came ({age})", "run it again while a pipeline runs"
    )


def _difference_of_clocks(ahead_ms: int, skew_seconds: float) -> Finding:
    seconds = ahead_ms / 1000
    if abs(seconds) <= 1:
        return Finding("ok", "the clocks of the brokers and of this machine agree to a second")
    which = "ahead of" if seconds > 0 else "behind"
    return Finding(
        "FAIL" if abs(seconds) > skew_seconds else "warn",
        f"the brokers' clock is {duration(abs(seconds))} {which} this machine's",
        "let both keep time by NTP: records of the future are counted apart",
    )

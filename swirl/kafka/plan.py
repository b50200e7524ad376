"""What each topic must be like, and how one that exists differs from it. Nothing here talks to Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swirl.kafka.topics import Topics

__all__ = [
    "MIGRATE",
    "PARTITIONS",
    "REPLICAS",
    "Difference",
    "Rule",
    "TopicFound",
    "TopicSpec",
    "duration",
    "partitions_of",
    "plan",
    "specs",
]

PARTITIONS = 8
"""Of each topic, unless asked otherwise: at most so many workers can share the work."""

REPLICAS = 3
"""Copies of each partition, where there are as many brokers."""

MESSAGE_BYTES = 1_153_434
"""The largest record: a frame has at most 1 MB, and its key and headers come on top."""

MIGRATE = (
    "the number of partitions stays: a change would leave the state of pipelines behind on partitions that "
    "are no longer theirs. For another number set SWIRL_TOPICS and SWIRL_GROUP to new names everywhere, run "
    "'swirl topics --create --partitions N', and keep the old workers until 'swirl doctor' shows that no "
    "frame waits for them; the new ones learn anew"
)

_SECOND, _HOUR, _DAY = 1_000, 3_600_000, 86_400_000
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Rule:
    """What a setting of a topic has to be; everything else about it is its owner's choice.

    Attributes:
        key: the setting, in Kafka's words.
        must: whether ``bound`` is the value itself, or the least or most that it may be.
        bound: a word, or a number in the unit of the setting.
        why: what goes wrong otherwise.
        loses: a worker does not start, because records would be lost.
    """

    key: str
    must: Literal["be", "be at least", "be at most"]
    bound: str | float
    why: str
    loses: bool = False

    def kept(self, value: str) -> bool:
        """Whether the value, as Kafka writes it, will do.

        Example:
            >>> Rule("retention.ms", "be at least", 3_600_000, "").kept("-1")  # unlimited
            True
        """
        if self.must == "be":
            return {part.strip() for part in value.split(",")} == {self.bound}
        number = float("inf") if value == "-1" else float(value)
        bound = float(self.bound)
        return number >= bound if self.must == "be at least" else number <= bound

    def broken(self, value: str) -> str:
        """In words, that the value will not do."""
        now, bound = _shown(self.key, value), _shown(self.key, self.bound)
        return f"{self.key} is {now}; it must {self.must} {bound}: {self.why}"


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it is to be.

    Attributes:
        name: of the topic.
        partitions: the same for all topics of a deployment.
        config: the settings it is made with.
        rules: what has to hold for one that exists already.
    """

    name: str
    partitions: int
    config: Mapping[str, str]
    rules: tuple[Rule, ...]


class TopicFound(NamedTuple):
    """A topic as it is.

    Attributes:
        name: of the topic.
        id: the UUID that Kafka gave it; one that was deleted and made anew has another.
        partitions: how many.
        replicas: copies of the partition that has the fewest.
        config: the settings that were asked for.
        begin: first offset of each partition.
        end: offset that the next record of each partition gets.
        rights: what the user who asks may do with it, in Kafka's words; empty where brokers do not say.
        hidden: not empty: which right is missing to see it; then the fields after it are empty as well.
    """

    name: str
    id: str = ""
    partitions: int = 0
    replicas: int = 0
    config: Mapping[str, str] = MappingProxyType({})
    begin: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    rights: frozenset[str] = frozenset()
    hidden: str = ""

    @property
    def records(self) -> int:
        """Offsets between beginning and end; a compacted topic holds fewer records."""
        return sum(self.end) - sum(self.begin)


class Difference(NamedTuple):
    """One thing that is not as it must be.

    Attributes:
        topic: its name.
        kind: ``missing`` topics are created, what ``differs`` can be set, what ``refuses`` is changed by no
            command, and ``hidden`` is what this user may not see.
        words: for people.
        change: the settings that put it right.
        loses: a worker does not start with it.
    """

    topic: str
    kind: Literal["missing", "differs", "refuses", "hidden"]
    words: str
    change: Mapping[str, str] = MappingProxyType({})
    loses: bool = False


def specs(names: Topics, *, partitions: int = PARTITIONS, replicas: int = 1) -> list[TopicSpec]:
    """The six topics of a deployment."""
    durable = {"min.insync.replicas": "2" if replicas >= REPLICAS else "1"}
    return [
        TopicSpec(name, partitions, {**durable, **config, "max.message.bytes": str(MESSAGE_BYTES)}, rules)
        for name, (config, rules) in zip(names, _WANTED.values(), strict=True)
    ]


def _policy(policy: str, why: str, *, loses: bool = False) -> Rule:
    return Rule("cleanup.policy", "be", policy, why, loses)


def _large(why: str, *, loses: bool = False) -> Rule:
    return Rule("max.message.bytes", "be at least", 1.1 * _MEGABYTE, why, loses)


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY)}


# The segment that is written to is never compacted, so it is kept short: a worker reads it all at its start.
_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": str(300 * _SECOND),
    "segment.bytes": str(32 * _MEGABYTE),
    "min.cleanable.dirty.ratio": "0.1",
}
_QUICK_RESTART = (
    Rule("segment.ms", "be at most", _HOUR, "a worker reads what is not yet compacted at its start"),
    Rule(
        "segment.bytes",
        "be at most",
        256 * _MEGABYTE,
        "a worker reads what is not yet compacted at its start",
    ),
    Rule(
        "min.cleanable.dirty.ratio",
        "be at most",
        0.5,
        "a worker reads what is not yet compacted at its start",
    ),
)
_OUTPUT = _policy("delete", "it would grow for ever")

_WANTED: Mapping[str, tuple[Mapping[str, str], tuple[Rule, ...]]] = {
    "frames": (
        {**_kept(7), "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime"},
        (
            Rule(
                "message.timestamp.type",
                "be",
                "LogAppendTime",
                "the log's time is the one that windows and silence go by",
                loses=True,
            ),
            _policy("delete", "compaction removes frames that were not yet counted", loses=True),
            Rule(
                "retention.ms",
                "be at least",
                _HOUR,
                "a worker that was away counts the frames again that came since",
                loses=True,
            ),
            Rule(
                "retention.bytes",
                "be at least",
                1_000 * _MEGABYTE,
                "frames may be gone before a worker that was away has counted them",
            ),
            _large("a large frame would be refused"),
        ),
    ),
    "state": (
        _COMPACTED,
        (
            _policy("compact", "the state of a pipeline would be deleted by its age", loses=True),
            _large("a snapshot would be refused", loses=True),
            *_QUICK_RESTART,
        ),
    ),
    "windows": (_kept(7), (_OUTPUT,)),
    "incidents": (_kept(90), (_OUTPUT,)),
    # Workers write with lz4, which a pipeline need not have: brokers keep these as they can be read by all.
    "feedback": (
        {**_COMPACTED, "compression.type": "uncompressed"},
        (
            _policy("compact", "the verdict of a pipeline would be deleted by its age"),
            Rule("compression.type", "be", "uncompressed", "a pipeline without lz4 cannot read its verdict"),
            *_QUICK_RESTART,
        ),
    ),
    # The cap counts per partition and removes whole segments, so these have to be smaller than it.
    "dead_letters": (
        {**_kept(7), "retention.bytes": str(100 * _MEGABYTE), "segment.bytes": str(20 * _MEGABYTE)},
        (
            _OUTPUT,
            Rule(
                "retention.bytes",
                "be at most",
                10_000 * _MEGABYTE,
                "it holds originals, which an emitter gone wrong sends without end",
            ),
        ),
    ),
}


def partitions_of(found: Sequence[TopicFound]) -> int | None:
    """The number of partitions that a deployment has: that of the frames, which come first."""
    return next((topic.partitions for topic in found if topic.partitions), None)


def plan(wanted: Sequence[TopicSpec], found: Sequence[TopicFound]) -> list[Difference]:
    """How the topics that were found differ from those that are wanted, in the order of these."""
    there = {topic.name: topic for topic in found}
    unequal = len({topic.partitions for topic in found if topic.partitions}) > 1
    differences: list[Difference] = []
    for spec in wanted:
        topic = there.get(spec.name)
        if topic is None:
            differences.append(Difference(spec.name, "missing", "does not exist", loses=True))
        elif topic.hidden:
            differences.append(Difference(spec.name, "hidden", topic.hidden, loses=True))
        else:
            differences += [*_partitions(spec, topic, unequal=unequal), *_settings(spec, topic)]
    return differences


def _partitions(spec: TopicSpec, topic: TopicFound, *, unequal: bool) -> list[Difference]:
    if topic.partitions == spec.partitions:
        return []
    words = f"has {topic.partitions} partitions, not {spec.partitions}; "
    words += MIGRATE if topic.records else "it is empty: delete it, then run 'swirl topics --create'"
    return [Difference(spec.name, "refuses", words, loses=unequal)]


def _settings(spec: TopicSpec, topic: TopicFound) -> list[Difference]:
    broken = [
        rule for rule in spec.rules if rule.key in topic.config and not rule.kept(topic.config[rule.key])
    ]
    return [
        Difference(
            spec.name,
            "differs",
            rule.broken(topic.config[rule.key]),
            {rule.key: spec.config[rule.key]},
            rule.loses,
        )
        for rule in broken
    ] + _acknowledged(topic)


def _acknowledged(topic: TopicFound) -> list[Difference]:
    """Whether the copies that a write waits for fit the copies there are."""
    least, right = (
        int(topic.config.get("min.insync.replicas", "1")),
        "2" if topic.replicas >= REPLICAS else "1",
    )
    if least > topic.replicas:
        words = f"min.insync.replicas is {least}, of {topic.replicas} copies: every record would be refused"
        return [Difference(topic.name, "differs", words, {"min.insync.replicas": right}, loses=True)]
    if least < int(right):
        words = "min.insync.replicas is 1: a record is acknowledged that only one broker has"
        return [Difference(topic.name, "differs", words, {"min.insync.replicas": right})]
    return []


def _shown(key: str, value: str | float) -> str:
    if value in ("-1", -1):
        return "unlimited"
    if key.endswith(".ms"):
        return duration(float(value) / _SECOND)
    if key.endswith("bytes"):
        return f"{float(value) / _MEGABYTE:,.4g} MB"
    return f"{value:g}" if isinstance(value, float) else value


def duration(seconds: float) -> str:
    """Roughly, for people.

    Example:
        >>> duration(604_800), duration(5_400), duration(0.25)
        ('7 d', '1.5 h', '0.25 s')
    """
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"

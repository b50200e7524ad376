"""The topics of a deployment: their names; seeing, creating and checking them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from swirl.errors import TopicsError
from swirl.kafka.plan import MIGRATE, PARTITIONS, REPLICAS, partitions_of, plan, specs
from swirl.kafka.rights import lacking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swirl.kafka.admin import Admin
    from swirl.kafka.plan import Difference, TopicFound
    from swirl.settings import KafkaSettings

__all__ = ["Topics", "apply", "create_missing", "ensure", "inspect", "topic_id"]


class Topics(NamedTuple):
    """Names of the topics. All have the same number of partitions; a pipeline has the same one in each.

    Attributes:
        frames: frames and ticks as the log took them; key: the pipeline.
        state: snapshots of what was folded, compacted.
        windows: closed windows, for whoever wants figures.
        incidents: every step of every incident.
        feedback: verdicts for pipelines, compacted; key: the pipeline.
        dead_letters: records of ``frames`` that could not be read.
    """

    frames: str
    state: str
    windows: str
    incidents: str
    feedback: str
    dead_letters: str

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self:
        """The names that the settings ask for."""
        return cls(*(f"{settings.topics}.{field.replace('_', '-')}" for field in cls._fields))


def inspect(settings: KafkaSettings) -> list[TopicFound]:
    """What there is of the topics, in the order of :class:`Topics`.

    Raises:
        TopicsError: the brokers do not answer, or refuse; so do the functions below.
    """
    with _connected(settings) as admin:
        return admin.topics(Topics.of(settings))


def create_missing(
    settings: KafkaSettings, *, partitions: int | None = None, replicas: int | None = None
) -> list[str]:
    """Create the topics that do not exist; the others stay as they are.

    Args:
        settings: which brokers, and how the names begin.
        partitions: of each topic; None: as many as those have that exist, or 8.
        replicas: copies of each; None: 3, or as many as there are brokers.

    Returns:
        the names of those that were created.

    Raises:
        TopicsError: also if there are topics with another number of partitions; the message says how to move.
    """
    with _connected(settings) as admin:
        return _create(admin, Topics.of(settings), partitions, replicas)


def apply(settings: KafkaSettings) -> list[Difference]:
    """Set what differs where a setting can put it right; returns what was set."""
    with _connected(settings) as admin:
        able = [difference for difference in _differences(admin, Topics.of(settings)) if difference.change]
        for difference in able:
            admin.alter(difference.topic, difference.change)
    return able


def ensure(settings: KafkaSettings, needs: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Create what is missing, and refuse to go on where records would be lost; for the start of a worker.

    Several workers may do it at the same time.

    Args:
        settings: which brokers, and how the names begin.
        needs: rights that it takes to go on, see :mod:`swirl.kafka.rights`.

    Returns:
        the names of the topics that were created.

    Raises:
        TopicsError: a topic would lose records as it is, or may not be seen, or a right is missing; or the
            brokers do not answer, which the error calls ``passing``.
    """
    names = Topics.of(settings)
    with _connected(settings) as admin:
        made = _create(admin, names)
        found = admin.topics(names)
    lacks = [str(_refusal(settings, *one)) for one in lacking(names, found, needs or {})]
    if lacks:
        raise TopicsError(". ".join(lacks))
    wrong = [difference for difference in _compared(names, found) if difference.loses]
    if wrong:
        told = ". ".join(f"{difference.topic}: {difference.words}" for difference in wrong)
        able = any(difference.change for difference in wrong)
        # What was created a moment ago may not yet be known to all brokers.
        passing = all(difference.kind == "missing" for difference in wrong)
        do = "to put that right run 'swirl topics --apply'" if able else ""
        raise TopicsError(told, do=do, passing=passing)
    return made


def topic_id(settings: KafkaSettings, name: str) -> str:
    """The UUID that Kafka gave a topic: one that was deleted and made anew has another.

    Raises:
        TopicsError: also if there is no such topic.
    """
    with _connected(settings) as admin:
        found = admin.topics([name])
    if not found:
        raise TopicsError(f"topic {name} does not exist", do="create it with 'swirl topics --create'")
    if not found[0].id:
        raise TopicsError(found[0].hidden)
    return found[0].id


def _connected(settings: KafkaSettings) -> Admin:
    from swirl.kafka.admin import Admin  # noqa: PLC0415 - pipelines read the names and load no admin client

    return Admin(settings)


def _refusal(settings: KafkaSettings, right: str, topic: str) -> TopicsError:
    from swirl.kafka.admin import refusal  # noqa: PLC0415 - pipelines read the names and load no admin client

    return refusal(settings, right, "topic", topic)


def _create(
    admin: Admin, names: Topics, partitions: int | None = None, replicas: int | None = None
) -> list[str]:
    found = admin.topics(names)
    there = partitions_of(found)
    if partitions and there and partitions != there:
        raise TopicsError(
            f"there are topics with {there} partitions, {partitions} were asked for", do=MIGRATE
        )
    copies = replicas or min(REPLICAS, len(admin.brokers()))
    known = {topic.name for topic in found}
    wanted = specs(names, partitions=partitions or there or PARTITIONS, replicas=copies)
    return admin.create([spec for spec in wanted if spec.name not in known], replicas=copies)


def _differences(admin: Admin, names: Topics) -> list[Difference]:
    return _compared(names, admin.topics(names))


def _compared(names: Topics, found: Sequence[TopicFound]) -> list[Difference]:
    return plan(specs(names, partitions=partitions_of(found) or PARTITIONS), found)

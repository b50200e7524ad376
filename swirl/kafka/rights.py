"""What a pipeline and a worker must be allowed to do, in the words of Kafka's access lists.

A broker refuses an operation when it is tried, which for some is hours after the start. So a worker looks
beforehand, and whoever is refused later tells which right is missing on what, and for whom.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swirl.kafka.plan import TopicFound
    from swirl.kafka.topics import Topics
    from swirl.settings import KafkaSettings

__all__ = ["PIPELINE", "WORKER", "explained", "lacking"]

PIPELINE: Mapping[str, tuple[str, ...]] = MappingProxyType({"frames": ("Write",), "feedback": ("Read",)})
"""Topic, as a field of :class:`swirl.kafka.topics.Topics` -> rights on it."""

WORKER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "frames": ("Read", "Write"),  # it writes the ticks
        "state": ("Read", "Write"),
        "windows": ("Write",),
        "incidents": ("Write",),
        "feedback": ("Write",),
        "dead_letters": ("Write",),
    }
)
"""The same of a worker. Besides it needs DescribeConfigs on all of them, and Read on its consumer group."""


def lacking(
    names: Topics, found: Sequence[TopicFound], needs: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """The rights that the user who asked for the topics lacks, each with the topic's name.

    Args:
        names: of the topics.
        found: what there is of them; nothing lacks where brokers do not say what is allowed.
        needs: :data:`PIPELINE` or :data:`WORKER`.
    """
    # Who has no right at all on a topic is not even told its identity.
    rights = {topic.name: topic.rights for topic in found if topic.rights or not topic.id}
    for field, wanted in needs.items():
        name = getattr(names, field)
        if name in rights:
            yield from ((right, name) for right in wanted if right.upper() not in rights[name])


def explained(error: BaseException, settings: KafkaSettings) -> str:
    """An error in words; of a reader that was refused, which right it lacks on what, and for whom.

    Args:
        error: of kafka-python or aiokafka, whose classes have the same names, or any other.
        settings: of the connection.
    """
    kinds = {"TopicAuthorizationFailedError": "topic", "GroupAuthorizationFailedError": "group"}
    kind = kinds.get(type(error).__name__, "")
    if not kind or not error.args:
        return str(error) or type(error).__name__
    from swirl.kafka.admin import refusal  # noqa: PLC0415 - it loads kafka-python

    return str(refusal(settings, "Read", kind, str(error.args[0])))

"""``swirl topics``: what there is of Kafka's topics, and what has to be otherwise."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from swirl.kafka.plan import PARTITIONS, duration, partitions_of, plan, specs
from swirl.kafka.topics import Topics, apply, create_missing, inspect
from swirl.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swirl.kafka.plan import Difference, TopicFound

__all__ = ["quiet_kafka", "run", "table"]


def run(
    *,
    create: bool,
    change: bool,
    partitions: int | None,
    replicas: int | None,
    say: Callable[[str], object],
) -> int:
    """Do what is asked, then show the topics.

    Returns:
        0 if all is well, 1 if something is missing or differs.

    Raises:
        TopicsError: the brokers do not answer, or refuse.
        SettingsError: a setting cannot be used.
    """
    quiet_kafka()
    settings = KafkaSettings.from_environment()
    if create:
        for name in create_missing(settings, partitions=partitions, replicas=replicas):
            say(f"created {name}")
    if change:
        for done in apply(settings):
            say(f"{done.topic}: set {', '.join(f'{key} = {value}' for key, value in done.change.items())}")
    found = inspect(settings)
    names = Topics.of(settings)
    differences = plan(specs(names, partitions=partitions_of(found) or PARTITIONS), found)
    for line in [*table(names, found, differences), *_advice(differences)]:
        say(line)
    return 1 if differences else 0


def table(names: Sequence[str], found: Sequence[TopicFound], differences: Sequence[Difference]) -> list[str]:
    """One line for each topic, then one for each difference."""
    width = max(len(name) for name in names)
    there = {topic.name: topic for topic in found}
    lines = [f"{'topic':<{width}}  partitions  copies  policy   retention        records"]
    for name in names:
        kinds = {difference.kind for difference in differences if difference.topic == name}
        state = "missing" if "missing" in kinds else "hidden" if "hidden" in kinds else "differs"
        lines.append(f"{name:<{width}}  {_figures(there.get(name))}  {state if kinds else 'ok'}")
    told = [difference for difference in differences if difference.kind != "missing"]
    return [*lines, *(f"- {difference.topic}: {difference.words}" for difference in told)]


def _figures(topic: TopicFound | None) -> str:
    if topic is None or topic.hidden:
        return f"{'-':>10}  {'-':>6}  {'-':<7}  {'-':>9}  {'-':>13}"
    policy = topic.config.get("cleanup.policy", "-")
    milliseconds = float(topic.config.get("retention.ms", "-1"))
    kept = "-" if policy == "compact" else "for ever" if milliseconds < 0 else duration(milliseconds / 1000)
    return f"{topic.partitions:>10}  {topic.replicas:>6}  {policy:<7}  {kept:>9}  {topic.records:>13,}"


def _advice(differences: Sequence[Difference]) -> list[str]:
    lines = []
    if any(difference.kind == "missing" for difference in differences):
        lines.append("To create what is missing: swirl topics --create")
    if any(difference.change for difference in differences):
        lines.append("To set what differs: swirl topics --apply")
    return lines


def quiet_kafka() -> None:
    """Keep kafka-python's own log off the terminal: what it says is told in words of ours."""
    log = logging.getLogger("kafka")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())

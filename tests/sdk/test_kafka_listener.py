"""A pipeline that comes later is told its verdict too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from swirl.sdk.producer import Listener, partition

if TYPE_CHECKING:
    from collections.abc import Callable


class Consumer:
    """Remembers what it is asked for."""

    def __init__(self) -> None:
        self.assigned: list[int] = []
        self.sought: list[int] = []

    def assign(self, places: list[Any]) -> None:
        self.assigned = [place.partition for place in places]

    def seek_to_beginning(self, *places: Any) -> None:
        self.sought += [place.partition for place in places]


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def listen(consumer: Consumer) -> Callable[[list[bytes]], None]:
    listener = Listener.__new__(Listener)
    listener._topic, listener._keys = "feedback", set()
    listener._connection = SimpleNamespace(partitions=lambda _: 8)  # type: ignore[assignment] # no broker
    listener._consumer = consumer
    return listener.listen


def test_a_partition_is_read_again_for_a_pipeline_that_comes_later(
    consumer: Consumer, listen: Callable[[list[bytes]], None]
) -> None:
    first = b"ads"
    place = partition(first, 8)
    names = (b"pipeline-%d" % n for n in range(1000))
    second = next(name for name in names if partition(name, 8) == place)
    other = next(name for name in names if partition(name, 8) != place)

    listen([first])
    listen([first])
    assert (consumer.assigned, consumer.sought) == ([place], [place])
    listen([first, second])
    assert (consumer.assigned, consumer.sought) == ([place], [place, place])
    listen([first, second, other])
    assert consumer.assigned == sorted([place, partition(other, 8)])
    assert consumer.sought == [place, place, partition(other, 8)]

"""Fixtures for tests that need a real Kafka; a test that takes one is marked ``service`` by that."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from swirl.errors import SwirlError
from swirl.testing.broker import Broker
from swirl.testing.jars import jars, java
from tests.kafka.mock_cluster import MockCluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NEED_KAFKA = {"kafka_here", "broker", "kafka", "own_broker"}


class OwnBroker(Protocol):
    """Starts a broker that a test may kill, pause and lock; it is gone when the test ends."""

    def __call__(
        self,
        *,
        secure: bool = False,
        users: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Broker: ...


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker, so that nobody forgets to."""
    for item in items:
        if _NEED_KAFKA & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.service)


@pytest.fixture(scope="session")
def kafka_here() -> None:
    """Skip where Kafka cannot be had; in CI that is a failure."""
    try:
        java()
        jars()
    except SwirlError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def broker(kafka_here: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for all tests of this process; take topics and groups of your own from ``prefix``."""
    with Broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running
        running.kill()


@pytest.fixture
def kafka(broker: Broker) -> str:
    """Address of the shared broker."""
    return broker.address


@pytest.fixture
def prefix() -> str:
    """What the names of a test's own topics and groups begin with."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
def own_broker(kafka_here: None, tmp_path: Path) -> Iterator[OwnBroker]:
    """Makes started brokers for this test alone, each in a folder of its own."""
    made: list[Broker] = []

    def start(
        *,
        secure: bool = False,
        users: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Broker:
        folder = tmp_path / f"kafka-{len(made)}"
        made.append(Broker(folder, secure=secure, users=users, properties=properties))
        return made[-1].start()

    try:
        yield start
    finally:
        for each in made:
            each.kill()


@pytest.fixture
def mock_cluster() -> Iterator[MockCluster]:
    """A stand-in for Kafka that fails as it is told."""
    with MockCluster() as cluster:
        yield cluster

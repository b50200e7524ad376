"""Answers that a real broker gives once in a year: the worker recovers, or ends with a code that says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings
from tests.chaos.worker import Worker, launch, wait_for
from tests.kafka.mock_cluster import Api, MockCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# The stand-in creates no topics and gives them no identity: these two questions are answered here.
COMMAND = """
from importlib import import_module
topics = import_module("swirl.kafka.topics")
topics.ensure = lambda *_, **__: []
topics.topic_id = lambda *_: "mock"
from swirl.cli import main
main()
"""
PROMISED = {70, 75, 76}
WITHIN_S = 25.0
"""15 s are promised, and a machine may be busy."""


@pytest.fixture
def folder(tmp_path: Path, mock_cluster: MockCluster) -> Iterator[tuple[MockCluster, Path, list[Worker]]]:
    for topic in Topics.of(KafkaSettings()):
        mock_cluster.topic(topic, 2)
    started: list[Worker] = []
    yield mock_cluster, tmp_path, started
    for worker in started:
        if worker.code is None:
            worker.process.kill()
            worker.process.wait()


def start(cluster: MockCluster, path: Path, started: list[Worker]) -> Worker:
    started.append(launch(cluster.address, path / f"worker-{len(started)}.log", {}, COMMAND))
    return started[-1]


@pytest.mark.parametrize(
    ("api", "code"), [(Api.JOIN_GROUP, 23), (Api.JOIN_GROUP, 30), (Api.SYNC_GROUP, 42)], ids=str
)
def test_a_worker_that_is_not_let_into_its_group_tries_again_or_ends(
    folder: tuple[MockCluster, Path, list[Worker]], api: Api, code: int
) -> None:
    cluster, _, _ = folder
    cluster.fail(api, code)
    worker = start(*folder)
    wait_for(lambda: worker.code is not None or worker.ready, WITHIN_S + 10, worker.words)
    assert worker.code in {None, *PROMISED}, worker.words()
    assert worker.code is not None or worker.get("/livez")[0] == 200


@pytest.mark.parametrize("code", [-1, 29, 22, 25, 27])
def test_a_worker_whose_acknowledgement_is_refused_goes_on_or_ends(
    folder: tuple[MockCluster, Path, list[Worker]], code: int
) -> None:
    cluster, _, _ = folder
    worker = start(*folder)
    wait_for(lambda: worker.code is not None or worker.ready, 40, worker.words)
    assert worker.code is None, worker.words()
    cluster.fail(Api.OFFSET_COMMIT, code)
    wait_for(lambda: worker.code is not None or joined(worker) > 1, WITHIN_S, worker.words)
    assert worker.code in PROMISED or worker.get("/livez")[0] == 200, worker.words()


def joined(worker: Worker) -> int:
    """How often it was given its partitions."""
    return worker.words(10_000).count("watching partitions")

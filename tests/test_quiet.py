from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl import quiet
from swirl.quiet import Kind, RateLimit, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "swirltest"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def installed(limit: RateLimit) -> Iterator[RateLimit]:
    """No fixture: pytest listens at each logger that does not propagate when a test begins."""
    quiet.install(limit, (NAME,))
    try:
        yield limit
    finally:
        quiet.remove((NAME,))


@pytest.fixture
def limit(clock: Clock) -> RateLimit:
    return RateLimit(most=3, period=60.0, clock=clock)


def test_the_first_lines_pass_and_the_others_become_one(
    limit: RateLimit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        log = logging.getLogger(f"{NAME}.client.connection")
        for node in range(4000):
            log.warning("node %d is away", node)
            clock.now += 0.005
        assert caplog.messages == ["node 0 is away", "node 1 is away", "node 2 is away"]
        clock.now += 60
        log.warning("node %d is away", 7)
        assert caplog.messages[3:] == ["3997 more like this in 60 s: node %d is away", "node 7 is away"]
        assert {record.levelno for record in caplog.records} == {logging.WARNING}
        assert {record.name for record in caplog.records} == {log.name}


def test_another_record_brings_the_summary_too(
    limit: RateLimit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        for _ in range(5):
            logging.getLogger(f"{NAME}.a").error("no broker")
        clock.now += 61
        logging.getLogger(f"{NAME}.b").warning("back")
        assert caplog.messages[3:] == ["2 more like this in 60 s: no broker", "back"]


def test_what_is_held_back_can_be_told_at_once(
    limit: RateLimit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        for _ in range(5):
            logging.getLogger(NAME).warning("100 % gone")
        clock.now += 20
        limit.flush()
        limit.flush()
        assert caplog.messages[3:] == ["2 more like this in 20 s: # % gone"]
        logging.getLogger(NAME).warning("100 % gone")
        assert len(caplog.messages) == 5


def test_who_asks_now_and_then_does_not_begin_a_period_anew(
    limit: RateLimit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        for _ in range(12):
            logging.getLogger(NAME).warning("no broker")
            clock.now += 5
            limit.flush(all_of_them=False)
    assert caplog.messages == [*["no broker"] * 3, "9 more like this in 60 s: no broker"]


def test_what_kafka_python_logs_a_worker_leaves_to_what_it_raises(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    quiet.install(RateLimit(clock=clock))
    try:
        logging.getLogger("kafka.net.manager").error("Connection failed")
        logging.getLogger("aiokafka.conn").error("Connection failed")
    finally:
        quiet.remove()
    assert [record.name for record in caplog.records] == ["aiokafka.conn"]


def test_nothing_is_said_of_what_was_not_held_back(
    limit: RateLimit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        logging.getLogger(NAME).warning("one")
        clock.now += 61
        logging.getLogger(NAME).warning("two")
        limit.flush()
        assert caplog.messages == ["one", "two"]


def test_loggers_levels_and_messages_are_counted_apart(
    limit: RateLimit, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        for _ in range(9):
            logging.getLogger(f"{NAME}.a").warning("x")
            logging.getLogger(f"{NAME}.b").warning("x")
            logging.getLogger(f"{NAME}.a").error("x")
            logging.getLogger(f"{NAME}.a").warning("y")
        assert len(caplog.messages) == 12


def test_numbers_written_into_the_message_do_not_make_it_another(
    limit: RateLimit, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        for offset in range(50):
            logging.getLogger(NAME).warning(f"offset {offset} of partition {offset % 7}")  # noqa: G004 - as they do it
        assert len(caplog.messages) == 3


def test_other_loggers_are_left_alone(limit: RateLimit, caplog: pytest.LogCaptureFixture) -> None:
    with installed(limit):
        for _ in range(9):
            logging.getLogger("swirlelse").warning("x")
        assert len(caplog.messages) == 9


def test_handlers_keep_their_levels(limit: RateLimit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), installed(limit):
        logging.getLogger(NAME).info("x")
        logging.getLogger(NAME).warning("y")
        caplog.handler.setLevel(logging.ERROR)
        logging.getLogger(NAME).warning("z")
    assert caplog.messages == ["y"]


def test_installing_twice_doubles_nothing_and_removing_leaves_nothing(
    limit: RateLimit, caplog: pytest.LogCaptureFixture
) -> None:
    with installed(limit):
        logger = logging.getLogger(NAME)
        quiet.install(limit, (NAME,))
        logger.warning("one")
        assert caplog.messages == ["one"]
        quiet.remove((NAME,))
        assert (logger.handlers, logger.propagate) == ([], True)
        for _ in range(9):
            logger.warning("one")
        assert len(caplog.messages) == 10


def test_it_serves_as_a_plain_filter_of_a_logger_too(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    logger, limit = logging.getLogger("swirlplain"), RateLimit(most=1, clock=clock)
    logger.addFilter(limit)
    try:
        for _ in range(3):
            logger.warning("x")
        clock.now += 61
        logger.warning("x")
    finally:
        logger.removeFilter(limit)
    assert caplog.messages == ["x", "2 more like this in 60 s: x", "x"]


def test_a_record_that_cannot_be_judged_passes(limit: RateLimit) -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError("no words")

    record = logging.LogRecord(NAME, logging.WARNING, __file__, 1, Odd(), None, None)
    assert all(limit.filter(record) for _ in range(9))


def test_a_clock_that_fails_silences_nothing() -> None:
    def broken() -> float:
        raise OSError("no time")

    record = logging.LogRecord(NAME, logging.WARNING, __file__, 1, "x", None, None)
    limit = RateLimit(most=1, clock=broken)
    assert all(limit.filter(record) for _ in range(9))


def test_a_handler_that_raises_stops_nobody(limit: RateLimit, clock: Clock) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg != "x":
                raise RuntimeError("not this one")

    handler = Broken()
    logging.getLogger().addHandler(handler)
    try:
        for _ in range(5):
            logging.getLogger(NAME).warning("x")
        clock.now += 61
        logging.getLogger(NAME).warning("x")
    finally:
        logging.getLogger().removeHandler(handler)


def test_no_record_is_lost_between_threads(caplog: pytest.LogCaptureFixture) -> None:
    def flood() -> None:
        for _ in range(500):
            logging.getLogger(NAME).warning("x")

    threads = [threading.Thread(target=flood) for _ in range(4)]
    with installed(RateLimit(most=10)) as limit:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        limit.flush()
    assert caplog.messages[:10] == ["x"] * 10
    assert caplog.messages[10].startswith("1990 more like this in ")
    assert len(caplog.messages) == 11


def test_messages_without_end_do_not_fill_the_memory() -> None:
    tally = Tally(most=1, period=60.0)
    passed = sum(tally.passes(Kind("a", 30, "x" * index), 0.0) for index in range(5000))
    assert passed == 1001
    assert len(tally._seen) == 1001
    assert tally.ended(60.0)[0].records == 3999
    assert tally._seen == {}


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30)), max_size=80), st.integers(1, 3))
def test_every_record_passes_or_is_counted(records: list[tuple[int, float]], most: int) -> None:
    tally, now, passed, held = Tally(most, 60.0), 0.0, 0, 0
    for kind, pause in records:
        now += pause
        held += sum(h.records for h in tally.ended(now))
        passed += tally.passes(Kind("a", kind, ""), now)
    held += sum(h.records for h in tally.ended(now, all_of_them=True))
    assert passed + held == len(records)

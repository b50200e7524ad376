"""Logs of libraries that say the same a hundred times: the first few lines, then how many more there were.

While a broker is away for half a minute, aiokafka and Faust write thousands of lines. :class:`Tally` decides
and takes the time as an argument; :class:`RateLimit` is the filter around it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LOGGERS", "Held", "Kind", "RateLimit", "Tally", "install", "remove"]

LOGGERS = ("aiokafka", "faust", "mode", "kafka")
"""Those whose records, and whose children's, a worker limits."""

_LEAST = {"kafka": logging.CRITICAL}
"""What kafka-python meets it raises too, and a worker tells it in words of its own."""

_KINDS = 1000
_OTHER = "(other messages)"
_TEMPLATE = 200
_SUMMARY = "%d more like this in %.0f s: %s"
_DIGITS = re.compile(r"\d+")


class Kind(NamedTuple):
    """Records that say the same.

    Attributes:
        logger: its name.
        level: of the records.
        template: of the message, before its arguments are put in.
    """

    logger: str
    level: int
    template: str


class Held(NamedTuple):
    """Records that were held back.

    Attributes:
        kind: of the records.
        records: how many.
        seconds: that passed since the first record of this kind.
    """

    kind: Kind
    records: int
    seconds: float


class Tally:
    """Counts records by kind and period; a period begins with the first record of its kind.

    Args:
        most: records of a kind that pass in a period.
        period: seconds.

    Example:
        >>> tally, kind = Tally(most=2, period=60.0), Kind("kafka", 30, "no broker")
        >>> [tally.passes(kind, now) for now in (0.0, 1.0, 2.0, 59.0)]
        [True, True, False, False]
        >>> tally.ended(60.0)
        [Held(kind=Kind(logger='kafka', level=30, template='no broker'), records=2, seconds=60.0)]
        >>> tally.passes(kind, 60.0)
        True
    """

    def __init__(self, most: int, period: float) -> None:
        self._most = most
        self._period = period
        self._seen: dict[Kind, tuple[float, int]] = {}
        """In the order in which the periods began."""

    def passes(self, kind: Kind, now: float) -> bool:
        """Count a record; False if it is to be held back."""
        if kind not in self._seen and len(self._seen) >= _KINDS:
            kind = kind._replace(template=_OTHER)
        began, count = self._seen.get(kind, (now, 0))
        self._seen[kind] = (began, count + 1)
        return count < self._most

    def ended(self, now: float, *, all_of_them: bool = False) -> list[Held]:
        """Forget the periods that are over; what was held back in them."""
        over = []
        for kind, (began, count) in self._seen.items():
            if now - began < self._period and not all_of_them:
                break
            over.append(Held(kind, count - self._most, min(self._period, now - began)))
        for held in over:
            del self._seen[held.kind]
        return [held for held in over if held.records > 0]


class RateLimit(logging.Filter):
    """Lets the first records of each kind through; the others become one line when their period is over.

    That line comes with the next record, of whatever kind, or with :meth:`flush`. It may be used from any
    thread and never raises: what it cannot judge passes.

    Args:
        most: records of a logger, level and message that pass in a period.
        period: seconds.
        clock: seconds that never go back.
    """

    def __init__(
        self, most: int = 2, period: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._tally = Tally(most, period)
        self._clock = clock
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        if record.msg is _SUMMARY:
            return True
        try:
            kind = Kind(record.name, record.levelno, _DIGITS.sub("#", str(record.msg))[:_TEMPLATE])
            with self._lock:
                now = self._clock()
                held, passes = self._tally.ended(now), self._tally.passes(kind, now)
        except Exception:  # noqa: BLE001 - a record that cannot be judged is better told than lost
            return True
        _tell(held)
        return passes

    def flush(self, *, all_of_them: bool = True) -> None:
        """Say now what was held back, all of it or only what is due; of what is said, all begins anew."""
        with self._lock:
            held = self._tally.ended(self._clock(), all_of_them=all_of_them)
        _tell(held)


def _tell(ended: list[Held]) -> None:
    for kind, records, seconds in ended:
        with suppress(Exception):
            logger = logging.getLogger(kind.logger)
            told = (records, seconds, kind.template)
            # Not through the logger's own entrance: a record is on its way through it just now.
            logger.callHandlers(logger.makeRecord(kind.logger, kind.level, __file__, 0, _SUMMARY, told, None))


class _Relay(logging.Handler):
    """Hands records on to the handlers above its logger, so that a filter can stand between.

    A filter at the logger itself would not do: it is not asked about the records of the logger's children.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(_LEAST.get(logger.name, logging.NOTSET))
        self._logger = logger

    def createLock(self) -> None:  # noqa: N802 - the base class names it so
        """Without a lock of its own: the handlers above have theirs."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        if self._logger.parent is not None:
            self._logger.parent.callHandlers(record)


def install(limit: logging.Filter, names: tuple[str, ...] = LOGGERS) -> None:
    """Put the filter between these loggers, with all their children, and the handlers above them."""
    remove(names)
    for name in names:
        logger = logging.getLogger(name)
        relay = _Relay(logger)
        relay.addFilter(limit)
        logger.addHandler(relay)
        logger.propagate = False


def remove(names: tuple[str, ...] = LOGGERS) -> None:
    """Take what :func:`install` has put there away again."""
    for name in names:
        logger = logging.getLogger(name)
        for relay in [handler for handler in logger.handlers if isinstance(handler, _Relay)]:
            logger.removeHandler(relay)
            logger.propagate = True

"""``swirl watch``: looks every second, and shows a screen, lines or JSON."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from swirl.cli.keys import Keys
from swirl.cli.news import News, Newsroom
from swirl.cli.reach import Nobody, Reach, addresses, no_pipeline
from swirl.clock import SystemClock
from swirl.settings import KafkaSettings
from swirl.sinks.wording import clock_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from swirl.effect import Incident
    from swirl.web.api import PipelineAnswer, Step, Summary

__all__ = ["Glimpse", "Options", "Source", "run"]

_EVERY_S = 1.0


class Options(NamedTuple):
    """What is watched, and how it is shown."""

    pipelines: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    once: bool = False
    as_json: bool = False
    topic: bool = False


class Glimpse(NamedTuple):
    """How things stand at one moment.

    Attributes:
        pipelines: those that are watched, by name.
        incidents: of these, all that are known, newest first.
        silent: of several processes, those that do not answer, and why.
    """

    pipelines: list[Summary]
    incidents: list[Incident]
    silent: dict[str, str]


class Source(Protocol):
    """Where one looks."""

    def look(self) -> Glimpse:
        """How things stand; raises :class:`swirl.cli.reach.Nobody`."""

    def steps(self, ident: str) -> Sequence[Step]:
        """The steps of an incident, as far as they are known."""

    def detail(self, name: str) -> PipelineAnswer | None:
        """One pipeline with its series, None where they are not to be had."""


class _Processes:
    """Processes that watch, over HTTP."""

    def __init__(self, reach: Reach, wanted: Sequence[str]) -> None:
        self._reach, self._wanted = reach, frozenset(wanted)

    def look(self) -> Glimpse:
        def chosen(name: str) -> bool:
            return not self._wanted or name in self._wanted

        pipelines = [summary for summary in self._reach.pipelines() if chosen(summary.name)]
        incidents = [each for each in self._reach.incidents(every=True) if chosen(each.pipeline)]
        return Glimpse(pipelines, incidents, dict(self._reach.silent))

    def steps(self, ident: str) -> Sequence[Step]:
        try:
            answer = self._reach.incident(ident)
        except Nobody:
            return ()  # what is known of it is told all the same
        return answer.told if answer is not None else ()

    def detail(self, name: str) -> PipelineAnswer | None:
        return self._reach.pipeline(name)


def run(options: Options, say: Callable[[str], object]) -> int:
    """Watch until q or Ctrl-C; the exit code.

    Raises:
        Nobody: nobody answers at the beginning.
        Unknown: there is no such pipeline.
        SettingsError: a setting cannot be used.
    """
    source, first = _begin(options)
    try:
        if options.once or options.as_json or not sys.stdout.isatty():
            _lines(source, first, options, say)
        else:
            _screen(source, first)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has enough
    return 0


def _begin(options: Options) -> tuple[Source, Glimpse]:
    """A source that answers, and what it says first."""
    kafka = bool(KafkaSettings.from_environment().kafka)
    if not options.topic:
        source: Source = _Processes(Reach(addresses(options.urls)), options.pipelines)
        try:
            first = source.look()
        except Nobody:
            if not kafka or options.urls:
                raise
        else:
            _all_there(options, first)
            return source, first
    from swirl.cli.topic import Topic

    source = Topic(options.pipelines)
    return source, source.look()


def _all_there(options: Options, first: Glimpse) -> None:
    missing = set(options.pipelines) - {summary.name for summary in first.pipelines}
    if missing:
        known = Reach(addresses(options.urls)).pipelines()
        raise no_pipeline(min(missing), (summary.name for summary in known))


def _lines(source: Source, first: Glimpse, options: Options, say: Callable[[str], object]) -> None:
    clock, room = SystemClock(), Newsroom(source.steps)

    def tell(news: News) -> None:
        now = clock_time(clock.time_ns() // 1_000_000)
        say(news.json() if options.as_json else f"{now}  {news.words}")

    for news in [*room.look(*first[:2]), *_hearing({}, first.silent)]:
        tell(news)
    if options.once:
        return
    for news in _following(source, room, first.silent):
        tell(news)
        sys.stdout.flush()


def _following(source: Source, room: Newsroom, silent: dict[str, str]) -> Iterator[News]:
    """What changes from now on; that somebody does not answer is told once, and that they do again."""
    while not _has_enough():
        time.sleep(_EVERY_S)
        before = silent
        try:
            glimpse = source.look()
        except Nobody as error:
            silent = {**silent, "nobody": error.message}
        else:
            silent = glimpse.silent
            yield from room.look(*glimpse[:2])
        yield from _hearing(before, silent)


def _has_enough() -> bool:
    """Whether the reader of the pipe is gone, who would otherwise be noticed at the next change only."""
    try:
        asked = select.poll()
        asked.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))
    except (OSError, ValueError):  # no file behind it, as in tests
        return False


def _hearing(before: dict[str, str], now: dict[str, str]) -> Iterator[News]:
    for url, why in now.items():
        if url not in before:
            words = why if url == "nobody" else f"{url} does not answer: {why}"
            yield News("silent", f"– {words}", {"url": url, "why": why})
    for url in before:
        if url not in now:
            who = "somebody" if url == "nobody" else url
            yield News("heard", f"– {who} answers again", {"url": url})


def _screen(source: Source, first: Glimpse) -> None:
    from rich.console import Console
    from rich.live import Live

    from swirl.cli.watch_screen import Shown, framed

    console = Console(highlight=False)
    now, glimpse, heard = time.monotonic, first, time.monotonic()
    detail: PipelineAnswer | None = None
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                names = [summary.name for summary in glimpse.pipelines]
                detail = source.detail(names[0]) if len(names) == 1 else None
                live.update(framed(Shown(glimpse, detail, now() - heard), console.width), refresh=True)
                if keys.pressed(_EVERY_S) == "q":
                    return
                glimpse, heard = source.look(), now()
            except Nobody:
                live.update(framed(Shown(glimpse, detail, now() - heard), console.width), refresh=True)
                if keys.pressed(_EVERY_S) == "q":
                    return

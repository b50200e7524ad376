"""``swirl demo``: a live pipeline breaks twice in ways that look alike, and Swirl tells them apart.

The screen and the verdict know only the effects that any sink receives; the pipeline knows of no fault.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import webbrowser
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from rich.console import Console
from rich.live import Live
from rich.text import Text

from swirl.cli.acts import FLUSH_S, HEALTHY, INTRO, SETTINGS, TITLES, TOLD, WINDOW_MS, acts
from swirl.cli.judge import Fault, judge
from swirl.cli.report import Played, closing, closing_lines, window_line
from swirl.cli.scene import Scene, Told
from swirl.cli.screen import WIDTH, Caption, draw
from swirl.errors import MissingExtraError
from swirl.settings import EmitterSettings, WatchSettings
from swirl.sinks.console import incident_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swirl.cli.judge import Outcome
    from swirl.clock import Clock
    from swirl.effect import IncidentChanged
    from swirl_pipelines.ads.runner import Act, PacedClock
    from swirl_pipelines.ads.world import World

__all__ = ["CHANNEL", "FULL_RATE", "Options", "Play", "run", "scrape", "screen"]

FULL_RATE = 25_000.0
_KAFKA_RATE = 10_000.0
"""Four processes share the machine."""
_KAFKA_SECONDS = 3
"""That the way through a broker and back may take, beyond three windows."""
CHANNEL = "#ads-oncall"
_REFRESH_S = 0.25
_LAST_WORDS_S = 4.0
_EXCERPT = (
    "swirl_incident_open",
    "swirl_cause_posterior_ratio",
    "swirl_verdict{",
    'swirl_series_value{label="",metric="invalid_ratio",pipeline="ads",stage="ingest"}',
    'swirl_series_value{label="positive",metric="prediction_ratio"',
    'swirl_series_value{label="clicks",metric="count"',
    "swirl_alarms_total",
)


@dataclass(frozen=True)
class Options:
    """How to play.

    Attributes:
        speed: seconds shown per second passed.
        seed: of all randomness.
        headless: plain lines instead of the screen.
        synthetic: made-up tweets even where the real ones are at hand.
        kafka: a broker, a worker and the pipeline as processes of their own, at speed 1.
        page: show the live page in a browser.
    """

    speed: float = 1.0
    seed: int = 0
    headless: bool = False
    synthetic: bool = False
    kafka: bool = False
    page: bool = False

    @property
    def rate(self) -> float:
        """Tweets a second of event time, so that the machine has as much to do as at speed 1."""
        return _KAFKA_RATE if self.kafka else FULL_RATE / max(1.0, self.speed)


@dataclass
class Play:
    """One showing: where it stands, and what was done when."""

    options: Options
    clock: Clock
    console: Console
    scrape: Callable[[], list[str]] = list
    read_slack: Callable[[], str] = str
    metrics: list[str] = field(default_factory=list)
    channel: dict[str, str] = field(default_factory=dict)
    acts: list[Played] = field(default_factory=list)
    planned: int = 0
    live: Live | None = None
    _drawn: float = 0.0
    _printed: int = 0
    _open: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scene = Scene(self.now_ms)

    def say(self, text: str) -> None:
        """A paragraph: wrapped for a terminal, one line for a pipe."""
        if self.console.is_terminal:
            self.console.print(Text(text))
        else:
            self.console.out(text, highlight=False)

    def began(self, act: Act, now_ms: int) -> None:
        """An act begins; the one before it ends."""
        self._end_act(now_ms)
        if self.acts and self.acts[-1].name in TITLES:
            self.channel[f"at the end of “{self.acts[-1].name}”"] = _newest(self.read_slack())
            self.metrics = self.metrics or self.scrape()
        self.acts.append(Played(act.name, now_ms, 0))
        if self.live is None:
            self.say(f"-- act {len(self.acts)} of {self.planned}: {act.name}. {TOLD[act.name]}")

    def end(self) -> None:
        """The last act is over."""
        self._end_act(self.now_ms())
        self.show(at_once=True)

    def _end_act(self, now_ms: int) -> None:
        if self.acts:
            self.acts[-1] = self.acts[-1]._replace(end_ms=now_ms)

    def now_ms(self) -> int:
        """Event time."""
        return self.clock.time_ns() // 1_000_000

    def show(self, *, at_once: bool = False) -> None:
        """Draw or print what is new; cheap enough to be asked often."""
        now = time.monotonic()
        if not at_once and now - self._drawn < _REFRESH_S:
            return
        self._drawn = now
        if self.live is not None:
            name = self.acts[-1].name
            told = TOLD[name] + (f"\n\n{INTRO}" if name == HEALTHY else "")
            caption = Caption(len(self.acts), self.planned, told, self.options.rate, self.now_ms())
            self.live.update(draw(self.scene.view(), caption), refresh=True)
        else:
            self._print_news()

    def _print_news(self) -> None:
        for each in self.scene.news[self._printed :]:
            self._printed += 1
            if isinstance(each, Told):
                self._print_change(each.change)
                continue
            act = next((a.name for a in reversed(self.acts) if a.start_ms < each.end_ms), HEALTHY)
            self.say(window_line(each, act, next(reversed(self._open.values()), "")))

    def _print_change(self, change: IncidentChanged) -> None:
        incident = change.incident
        self._open.pop(incident.id, None)
        if incident.state == "open":
            self._open[incident.id] = incident.title
        for line in incident_lines(change):
            self.say(line)

    def outcome(self) -> Outcome:
        """Compare what was done with what was told."""
        faults = [Fault(a.name, TITLES[a.name], a.start_ms, a.end_ms) for a in self.acts if a.name in TITLES]
        if self.options.kafka:
            return judge(faults, self.scene.told(), WINDOW_MS, seconds=_KAFKA_SECONDS)
        return judge(faults, self.scene.told(), WINDOW_MS, self.options.speed)


def run(options: Options, console: Console | None = None) -> int:
    """Play the demo.

    Returns:
        0 if both faults were told right and in time, and nothing else was told; 1 if not; 130 if interrupted.
    """
    console = console or Console(highlight=False)
    if options.kafka:
        from swirl.cli.kafka_demo import play_through_kafka

        return play_through_kafka(options, console, _close)
    from swirl_pipelines.ads.runner import PacedClock

    clock = PacedClock(options.speed)
    play = Play(options, clock, console)
    try:
        world = _world(options, play.say)
        play.say(INTRO)
        if options.rate < FULL_RATE:
            play.say(f"At this speed the feed is thinned to {options.rate:,.0f} tweets a second.")
        _perform(play, world, clock)
    except KeyboardInterrupt:
        play.say("Interrupted.")
        return 130
    return _close(play)


def _world(options: Options, say: Callable[[str], None]) -> World:
    """Real tweets from the cache, fetched if need be; where that fails made-up ones, and that is said."""
    try:
        from swirl_pipelines.ads.fetch import FetchError, fetch
        from swirl_pipelines.ads.tweets import made_up_tweets, read_tweets
        from swirl_pipelines.ads.world import World
    except ImportError as error:
        raise MissingExtraError(error.name or "swirl_pipelines", "demo") from error
    why = "as asked for"
    if not options.synthetic:
        try:
            world = World(read_tweets(fetch()), options.seed)
        except FetchError as error:
            why = str(error)
        else:
            say("4 200 real tweets with human ratings (Hutto & Gilbert, ICWSM 2014); the model is VADER.")
            return world
    say(f"SYNTHETIC FEED: the tweets and their ratings are made up ({why}); the model is VADER.")
    return World(made_up_tweets(options.seed), options.seed)


def _perform(play: Play, world: World, clock: PacedClock) -> None:
    """Play the acts with everything around them."""
    from swirl.engine.local import LocalEngine
    from swirl.testing.slack import SlackStandIn
    from swirl_pipelines.ads.runner import Runner

    speed, planned = play.options.speed, acts(world)
    play.planned = len(planned)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        slack = stack.enter_context(SlackStandIn(channels=(CHANNEL,)))
        watch = WatchSettings(
            slack_token=slack.token,
            slack_channel=CHANNEL,
            slack_url=slack.url,
            slack_show_labels=True,
            http="127.0.0.1:0",
        )
        engine = LocalEngine(SETTINGS, watch, sinks=[play.scene], clock=clock, state=folder)
        engine.start()
        play.scrape, play.read_slack = lambda: scrape(engine.http), slack.transcript
        if play.options.page:
            _open_page(engine.page, play.say)
        # The feed asks for the frames itself, in the time that is shown, and waits until they are folded:
        # on a busy machine the whole world goes slower, and nobody is late.
        emitter = EmitterSettings(flush_seconds=4 * FLUSH_S)
        ads = world.pipeline(transport=engine, clock=clock, settings=emitter)
        flushed = clock.ticks()

        def keep_up() -> None:
            nonlocal flushed
            if clock.ticks() - flushed >= FLUSH_S * 1e9:
                flushed = clock.ticks()
                ads.pipeline.flush(_LAST_WORDS_S)
                engine.folded(_LAST_WORDS_S)

        def consume(lines: list[bytes]) -> None:
            ads.feed(lines)
            keep_up()
            play.show()

        runner = Runner(
            world.feed, consume, clock, lambda s: time.sleep(s / speed), play.options.rate, clock.pace
        )
        try:
            if not play.options.headless:
                play.live = stack.enter_context(screen(play.console))
            runner.play(planned, play.began)
            play.end()
            if play.options.page:
                runner.play(_until_enter(play.say), lambda _act, _ms: None)
        finally:
            ads.pipeline.close(_LAST_WORDS_S)
            engine.close(_LAST_WORDS_S)
        play.show(at_once=True)
        play.channel["in the end"] = slack.transcript()


def _open_page(address: str, say: Callable[[str], None]) -> None:
    """In the browser that this machine prefers; where there is none, the address will do."""
    say(f"The page: {address}")
    webbrowser.open(address)


def _until_enter(say: Callable[[str], None]) -> Iterator[Act]:
    """All goes on as it is, second by second: a pipeline that fell silent would be told as one that is."""
    from swirl_pipelines.ads.runner import Act

    say("The page stays until you press Enter.")
    pressed = threading.Thread(target=sys.stdin.readline, daemon=True)
    pressed.start()
    while pressed.is_alive():
        yield Act(HEALTHY, 1.0, lambda: None)


def screen(console: Console) -> Live:
    """The whole terminal, drawn anew when something is new."""
    return Live(console=console, screen=True, auto_refresh=False)


def scrape(url: str) -> list[str]:
    """The lines of a scrape that tell of the incident."""
    with urlopen(f"{url}/metrics", timeout=2) as answer:  # noqa: S310 - our own port on loopback
        found = answer.read().decode().splitlines()
    return [line for line in found if line.startswith(_EXCERPT)]


def _newest(transcript: str) -> str:
    """The last thread of a channel."""
    channel, mark, thread = transcript.rpartition("\nSwirl: ")
    return f"{channel.partition(chr(10))[0]}{mark}{thread}"


def _close(play: Play) -> int:
    """The closing words, and the exit code."""
    outcome = play.outcome()
    console, shown = play.console, [act for act in play.acts if act.name in {HEALTHY, *TITLES}]
    for when, transcript in play.channel.items():
        console.print(Text(f"\nSlack {when}", "bold"))
        console.out(transcript or "nothing", highlight=False)
    console.print(Text("\nPrometheus scrapes, at the end of the first fault (an excerpt)", "bold"))
    for line in play.metrics:
        console.out(line, highlight=False)
    console.print()
    console.print(closing(outcome, play.scene.view(), shown, WINDOW_MS), width=WIDTH)
    for line in closing_lines(outcome, WINDOW_MS):
        console.out(line, highlight=False)
    console.print(Text.assemble("\n", ("Next: ", "bold"), "put @pipeline.stage on your own functions."))
    return 0 if outcome.passed else 1

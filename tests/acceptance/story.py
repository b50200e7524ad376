"""The demonstration as people in Slack live it; ``python -m tests.acceptance.story`` writes docs/story.md.

The engine, its state folder and the sinks are the real ones, Slack is the stand-in and time is virtual. In
the middle of the first incident the engine is stopped and another one goes on with its state.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from swirl.cli.acts import FLUSH_S, PLAN, SETTINGS
from swirl.engine.local import LocalEngine
from swirl.frame import Act as Said
from swirl.sdk.transport import Transport
from swirl.settings import WatchSettings
from swirl.testing import ManualClock
from swirl.testing.slack import SlackStandIn
from swirl.testing.slack_markdown import markdown
from swirl_pipelines.ads.runner import Act, Runner
from swirl_pipelines.ads.tweets import made_up_tweets
from swirl_pipelines.ads.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Incident

__all__ = ["CHANNEL", "RESTART", "Story", "written"]

CHANNEL = "#ads-oncall"
FAULT_S = 1_795_230_740.4
"""2026-11-21 03:12:20 UTC; faults seldom begin with a window."""
HEALTHY_S = 900
"""Before the first fault, for the page: longer than on the screen, where somebody waits."""
RESTART = 5
"""Seconds into the first fault after which the engine is stopped."""
_PATIENCE_S = 30.0
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "story.md"
_CHART = _PAGE.parent / "pictures" / "incident.png"
_HEAD = """# One night of the ads pipeline

What Slack shows at the end of the demonstration: each fault is one message that tells the truth when the
channel is scrolled tomorrow, and its thread. Five seconds into the first fault the process that watches was
stopped and started anew. Made by `python -m tests.acceptance.story`; made-up tweets, virtual time.

![The chart in the first thread: invalid records leave their band](pictures/incident.png)
"""


class Story(Transport):
    """An engine that may be replaced by another one, and all that it tells.

    Args:
        folder: of the state; it stays from engine to engine.
        slack: who is told.
        rate: tweets a second.
        healthy_s: seconds before the first fault.
    """

    def __init__(self, folder: Path, slack: SlackStandIn, rate: float = 2_500.0, healthy_s: int = 60) -> None:
        self._folder, self._slack, self._healthy_s = folder, slack, healthy_s
        self.clock = ManualClock(FAULT_S - healthy_s)
        self.engine = self._begin()
        world = World(made_up_tweets(7), 7)
        self.ads = world.pipeline()
        self.ads.pipeline.rebind(clock=self.clock, transport=self, threaded=False, emitter=bytes(16))
        self._runner = Runner(world.feed, self._take, self.clock, self.clock.advance, rate)
        self._happens = {"healthy": world.repair, "broken": world.break_upstream, "bug": world.deploy_bug}
        self._sent = self.clock.now

    def _begin(self) -> LocalEngine:
        watch = WatchSettings(
            slack_token=self._slack.token,
            slack_channel=CHANNEL,
            slack_url=self._slack.url,
            slack_signing_secret="a secret of this story",
            slack_show_labels=True,
            http="",
        )
        engine = LocalEngine(SETTINGS, watch, clock=self.clock, state=self._folder)
        engine.start()
        return engine

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:
        """To the engine that is there."""
        self.engine.send(pipeline, payload, lost)

    def close(self, timeout: float) -> None:
        """Say goodbye, and tell what is left to be told."""
        self.ads.pipeline.emit_now()
        self.engine.drain(timeout)
        self.engine.close(timeout)

    def restart(self) -> None:
        """Another process goes on with the state of this one."""
        self.engine.drain(_PATIENCE_S)
        self.engine.close(_PATIENCE_S)
        self.engine = self._begin()

    def play(self, at: Callable[[str, int, Story], None]) -> None:
        """All acts, second by second.

        Args:
            at: called after each second with the act, the second of it and this story.
        """
        for number, (name, seconds, what) in enumerate(PLAN):
            for second in range(round(seconds) if number else self._healthy_s):
                begin = self._happens[what] if second == 0 else _nothing
                self._runner.play([Act(name, 1.0, begin)], _nothing)
                self.engine.drain(_PATIENCE_S)
                at(name, second, self)

    def open(self) -> Incident | None:
        """The open incident."""
        view = self.engine.board.view("ads") if self.engine.board is not None else None
        return view.open if view is not None else None

    def say(self, act: str, why: str = "") -> None:
        """Somebody says something of the open incident."""
        incident = self.open()
        assert incident is not None
        self.engine.act(Said("ads", act, incident.id, "mara", why, via="slack"))  # type: ignore[arg-type] # one of them
        self.engine.drain(_PATIENCE_S)

    def _take(self, lines: list[bytes]) -> None:
        self.ads.feed(lines)
        if self.clock.now - self._sent >= FLUSH_S:
            self._sent = self.clock.now
            self.ads.pipeline.emit_now()
            self.engine.folded(_PATIENCE_S)


def _nothing(*_: object) -> None:
    """An act that goes on."""


def written(act: str, second: int, story: Story) -> None:
    """What happens beside the faults: a restart, and somebody who is on it."""
    if (act, second) == ("data pipeline broken", RESTART):
        story.restart()
    if (act, second) == ("data pipeline broken", RESTART + 2):
        story.say("acknowledge")


def main() -> None:
    """Play, and write the page and its chart."""
    with tempfile.TemporaryDirectory() as folder, SlackStandIn(channels=(CHANNEL,)) as slack:
        story = Story(Path(folder), slack, healthy_s=HEALTHY_S)
        story.play(written)
        story.close(_PATIENCE_S)
        _PAGE.write_text(f"{_HEAD}\n{markdown(slack)}\n", encoding="utf-8")
        pictures = [content for content in slack.uploads.received.values() if content.startswith(b"\x89PNG")]
        if pictures:
            _CHART.write_bytes(pictures[0])
        print(_PAGE, len(pictures), "charts", file=sys.stderr)


if __name__ == "__main__":
    main()

"""An incident from the real monitor, in Slack, with people who press its buttons: from birth to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from slack_sdk import WebClient

import swirl
from swirl.frame import encode
from swirl.sinks.routes import read_routes
from swirl.sinks.slack_acts import acts_of
from swirl.sinks.slack_blocks import Style
from swirl.sinks.slack_bot import SlackBot
from swirl.sinks.slack_memory import Threads
from swirl.testing import Harness
from swirl.testing.slack import SlackMessage, SlackStandIn
from swirl.testing.slack_markdown import markdown
from swirl.testing.slack_text import pressed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.effect import Effect


class Shop:
    """A stage whose share of invalid records can be set, a worker that tells of it, and people."""

    def __init__(self, slack: SlackStandIn) -> None:
        pipeline = swirl.Pipeline("shop")
        self._rng = np.random.default_rng(0)

        @pipeline.stage(valid=bool)
        def check(good: int) -> int:
            return good

        self._check = check
        self.harness = Harness(pipeline, window_seconds=10)
        self.slack = slack
        self._told: set[str] = set()
        self.restart()

    def restart(self) -> None:
        """Another worker takes over, and knows nothing but what the monitor had saved."""
        client = WebClient(token=self.slack.token, base_url=self.slack.url, timeout=10, retry_handlers=[])
        style = Style(buttons=True, url="https://swirl.example.com")
        self.bot = SlackBot(client, read_routes("", "#ads-oncall"), Threads({}), style)
        self.harness.restart_monitor()

    def drive(self, share: float, seconds: float) -> None:
        """Records pass, of which so many are invalid."""
        self.harness.drive(
            lambda: self._check(int(self._rng.random() >= share)), per_second=30, seconds=seconds
        )
        self.tell()

    def tell(self) -> None:
        """What the monitor wants to be told, in its order."""
        steps: list[Effect] = [*self.harness.changes, *self.harness.mutes]
        for step in steps:
            if step.identity not in self._told:
                self._told.add(step.identity)
                self.bot.handle(step)

    def press(self, label: str) -> None:
        """Mara presses a button of the root."""
        for act in acts_of(pressed(self.root.payload, label, "mara")):
            self.harness.send(act.pipeline, encode(act), lambda: None)
        self.tell()

    @property
    def root(self) -> SlackMessage:
        """Of the only thread."""
        return self.thread[0]

    @property
    def thread(self) -> list[SlackMessage]:
        """The only one."""
        (thread,) = self.slack.threads.values()
        return thread


@pytest.fixture
def shop() -> Iterator[Shop]:
    with SlackStandIn(pace=0.0) as slack:
        found = Shop(slack)
        found.drive(0.005, 900)
        assert slack.messages == []
        found.drive(0.3, 60)
        yield found


def test_an_incident_is_one_thread_from_its_opening_to_what_people_say_of_it(shop: Shop) -> None:
    assert "[Acknowledge] [Snooze 1 h] [New normal] [False alarm]" in shop.slack.transcript()
    shop.press("Acknowledge")
    said = shop.slack.transcript()
    assert "Acknowledged by mara at " in said
    assert "[Acknowledge]" not in said
    shop.restart()
    shop.drive(0.005, 600)
    assert shop.root.reactions == ["white_check_mark"]
    assert shop.root.text.startswith("shop / check: resolved at ")
    assert "The series are back inside their bands." in shop.slack.transcript()
    shop.press("It was")
    end = shop.slack.transcript()
    assert "It was a true alarm." in end
    assert "[It was]" not in end
    assert shop.thread[-1].text == "shop / check: It was as told, says mara."
    assert markdown(shop.slack).count("> **✓ shop / check: resolved at") == 1


def test_what_is_snoozed_is_shown_and_not_told(shop: Shop) -> None:
    before = len(shop.thread)
    shop.press("Snooze 1 h")
    assert "Snoozed until " in shop.slack.transcript()
    shop.drive(0.6, 300)
    assert len(shop.thread) == before
    shop.drive(0.6, 3600)
    assert "The snooze is over" in shop.thread[-1].text
    assert "Snoozed until" not in shop.slack.transcript()


@pytest.mark.parametrize(("label", "said"), [("New normal", "new normal"), ("False alarm", "false alarm")])
def test_a_person_may_end_it_and_the_root_says_who(shop: Shop, label: str, said: str) -> None:
    shop.press(label)
    assert f"mara says that this is the {said}" in shop.slack.transcript() or (
        f"mara says that it was a {said}" in shop.slack.transcript()
    )
    assert shop.root.text.startswith("shop / check: resolved at ")
    assert shop.thread[-1].text.startswith("shop / check: resolved at ")
    assert label == "New normal" or "[It was]" not in shop.slack.transcript()


def test_what_comes_back_goes_on_in_its_thread(shop: Shop) -> None:
    shop.drive(0.005, 420)
    assert shop.root.reactions == ["white_check_mark"]
    shop.drive(0.3, 60)
    assert shop.root.reactions == []
    assert "It came back once." in shop.slack.transcript()
    assert "back" in shop.thread[-1].text


def test_planned_work_hides_what_comes_and_goes_and_says_so_in_one_line() -> None:
    with SlackStandIn(pace=0.0) as slack:
        shop = Shop(slack)
        shop.drive(0.005, 900)
        shop.harness.mute("shop", for_seconds=1500, why="schema moves", who="mara")
        shop.drive(0.3, 60)
        shop.drive(0.005, 600)
        assert [message.text[:19] for message in slack.messages] == ["shop: planned work "]
        shop.drive(0.005, 1200)
        began, ended = (message.text for message in slack.messages)
        assert "by mara (schema moves)" in began
        assert "planned work by mara is over" in ended
        assert "Meanwhile: check: " in slack.transcript()

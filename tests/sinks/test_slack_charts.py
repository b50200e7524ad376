"""Charts follow in the threads, and no text waits for them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from swirl.effect import IncidentChanged
from swirl.errors import DeliveryError
from swirl.settings import WatchSettings
from swirl.sinks import Outlet, Retries
from swirl.sinks.slack import slack_sinks
from swirl.sinks.slack_bot import SlackBot
from swirl.sinks.slack_charts import SlackCharts
from swirl.testing.slack import SlackStandIn
from swirl.testing.slack_markdown import markdown
from tests.sinks.scene import DATA, changed, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.effect import Incident

PNG = b"\x89PNG\r\n\x1a\nnot really"


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(pace=0.0) as server:
        yield server


class Artist:
    """Draws as told, and remembers what."""

    def __init__(self, *drawn: bytes | Exception | None) -> None:
        self.drawn = list(drawn)
        self.asked: list[Incident] = []

    def __call__(self, incident: Incident) -> bytes | None:
        self.asked.append(incident)
        drawn = self.drawn.pop(0) if self.drawn else PNG
        if isinstance(drawn, Exception):
            raise drawn
        return drawn


def sinks(
    slack: SlackStandIn, chart: Any, memory: dict[str, str] | None = None, **given: Any
) -> tuple[SlackBot, SlackCharts]:
    settings = WatchSettings(
        slack_token=slack.token, slack_channel="#ads-oncall", slack_url=slack.url, **given
    )
    bot, charts = slack_sinks(settings, {} if memory is None else memory, chart=chart)
    assert isinstance(bot, SlackBot)
    assert isinstance(charts, SlackCharts)
    return bot, charts


def shared(slack: SlackStandIn) -> list[str]:
    return [str(file["name"]) for message in slack.messages for file in message.files]


def test_a_chart_follows_in_the_thread_once(slack: SlackStandIn) -> None:
    memory: dict[str, str] = {}
    bot, charts = sinks(slack, Artist(), memory)
    for step in (changed(DATA), changed(DATA, "updated"), changed(DATA, "resolved")):
        bot.handle(step)
        charts.handle(step)
    (chart,) = [m for m in slack.messages if m.files]
    assert chart.thread_ts == slack.messages[0].ts
    assert chart.files[0]["name"] == "ads-20261121-031220.png"
    assert chart.files[0]["title"] == "ads / ingest: data pipeline broken since 03:12:20 UTC"
    assert "data pipeline broken" in chart.files[0]["alt_txt"]
    assert list(slack.uploads.received.values()) == [PNG]
    assert memory[f"chart/{DATA.id}"] == "F00000000"


def test_a_chart_waits_for_the_thread_of_its_incident(slack: SlackStandIn) -> None:
    bot, charts = sinks(slack, Artist())
    assert 0 < charts.wait(changed(DATA)) <= 5.0
    charts.handle(changed(DATA))
    assert slack.calls == []
    bot.handle(changed(DATA))
    assert charts.wait(changed(DATA)) == 0.0


def test_text_goes_out_while_a_chart_is_still_drawn(slack: SlackStandIn) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(incident: Incident) -> bytes:
        begun.set()
        assert go_on.wait(10)
        return PNG

    bot, charts = sinks(slack, slow)
    texts, pictures = Outlet(bot), Outlet(charts)
    for outlet in (pictures, texts):
        outlet.offer(changed(DATA))
    assert begun.wait(10)
    texts.offer(changed(DATA, "updated", "Worse."))
    assert texts.drain(10)
    assert [m.text for m in slack.messages][1:] == ["ads / ingest: Worse."]
    go_on.set()
    assert pictures.drain(10)
    assert shared(slack) == ["ads-20261121-031220.png"]
    assert texts.close()
    assert pictures.close()


def test_after_a_restart_without_memory_a_chart_that_is_there_is_not_sent_again(slack: SlackStandIn) -> None:
    memory: dict[str, str] = {}
    bot, charts = sinks(slack, Artist(), memory)
    bot.handle(changed(DATA))
    charts.handle(changed(DATA))
    artist = Artist()
    _, again = sinks(slack, artist, {DATA.id: memory[DATA.id]})
    again.handle(changed(DATA, "updated"))
    assert shared(slack) == ["ads-20261121-031220.png"]
    assert artist.asked == []


def test_without_the_scope_this_is_said_once_and_no_text_suffers(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    slack.scopes.discard("files:write")
    bot, charts = sinks(slack, Artist())
    with caplog.at_level(logging.WARNING, "swirl"):
        for number in range(3):
            step = changed(msgspec.structs.replace(DATA, id=f"ads-20261121-{number:06d}"))
            bot.handle(step)
            charts.handle(step)
    assert len(caplog.messages) == 1
    assert "files:write" in charts.trouble
    assert (bot.trouble, len(slack.messages)) == ("", 3)


def test_what_passes_is_tried_again_and_what_does_not_is_given_up(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    bot, charts = sinks(slack, Artist(OSError("no memory")))
    bot.handle(changed(DATA))
    with pytest.raises(OSError, match="no memory"):
        charts.handle(changed(DATA))
    slack.fail_next(status=503)
    with pytest.raises((DeliveryError, OSError)):
        charts.handle(changed(DATA))
    charts.handle(changed(DATA))
    assert shared(slack) == ["ads-20261121-031220.png"]
    odd = changed(msgspec.structs.replace(DATA, id="ads-20261121-000001"))
    bot, charts = sinks(slack, Artist(*[ValueError("odd")] * 9))
    bot.handle(odd)
    outlet = Outlet(charts, retries=Retries(first=0.001))
    with caplog.at_level(logging.WARNING, "swirl.sinks.slack"):
        outlet.offer(odd)
        assert outlet.drain(10)
    assert outlet.close()
    assert "no chart of ads-20261121-000001 in Slack: odd" in caplog.messages


def test_nothing_to_draw_now_may_be_something_later(slack: SlackStandIn) -> None:
    bot, charts = sinks(slack, Artist(None))
    bot.handle(changed(DATA))
    charts.handle(changed(DATA))
    assert shared(slack) == []
    charts.handle(changed(DATA, "updated"))
    assert shared(slack) == ["ads-20261121-031220.png"]


def test_who_draws_is_given_names_without_labels_unless_they_are_allowed(slack: SlackStandIn) -> None:
    for allowed, name in ((False, "label ratio"), (True, "positive ratio")):
        artist = Artist()
        bot, charts = sinks(slack, artist, slack_show_labels=allowed)
        bot.handle(changed(DATA))
        charts.handle(changed(DATA))
        assert (artist.asked[0].evidence[1].name, artist.asked[0].evidence[1].label) == (name, "positive")


def test_there_is_no_chart_of_what_is_muted_and_none_without_a_bot(slack: SlackStandIn) -> None:
    artist = Artist()
    _, charts = sinks(slack, artist)
    muted = IncidentChanged("opened", msgspec.structs.replace(DATA, muted=True))
    assert charts.wait(muted) == charts.wait(verdict()) == 0.0
    charts.handle(muted)
    charts.handle(verdict())
    assert artist.asked == []
    assert len(slack_sinks(WatchSettings(slack_webhook=slack.webhook), {}, chart=artist)) == 1
    assert slack_sinks(WatchSettings(), {}, chart=artist) == []


def test_a_transcript_shows_the_root_as_it_ends_its_marks_its_buttons_and_the_thread(
    slack: SlackStandIn,
) -> None:
    bot, charts = sinks(slack, Artist(), slack_signing_secret="s", url="https://swirl.example.com")
    for step in (
        changed(DATA),
        changed(DATA, "updated", "Half recovered: 10 000/s."),
        changed(DATA, "resolved"),
    ):
        bot.handle(step)
        charts.handle(step)
    assert markdown(slack).splitlines() == [
        "> **✓ ads / ingest: resolved at 03:12:50 UTC after 30\xa0s**",
        ">",
        "> Was: data pipeline broken, from 03:12:20 UTC.",
        ">",
        "> ```text",
        ">                    worst       now",
        "> ingest invalid  20 130/s  20 100/s",
        "> label ratio         0.20      0.21",
        "> clicks               9/s      10/s",
        "> ```",
        ">",
        "> **Cost**: 400\xa0000 records rejected, 40\xa0000 clicks missed.",
        ">",
        ("> Was this a true alarm? False ones are counted against the promise of so many a week."),
        ">",
        "> `[It was]` `[False alarm]`",
        ">",
        (
            "> <sub>[Live page](https://swirl.example.com/incidents/ads-20261121-031220) · "
            "opened 03:12:21 UTC · ads-20261121-031220</sub>"
        ),
        ">",
        "> `:white_check_mark:`",
        ">",
        ("> > *ads-20261121-031220.png: ads / ingest: data pipeline broken since 03:12:20 UTC*"),
        ">",
        "> > Half recovered: 10\xa0000/s.",
        "> >",
        "> > <sub>Now: ingest: data pipeline broken, 97\xa0% likely.</sub>",
        ">",
        "> > **Resolved** at 03:12:50 UTC after 30\xa0s.",
    ]
    plain = slack.transcript()
    assert "[It was] [False alarm]" in plain
    assert ":white_check_mark:" in plain
    assert "[ads-20261121-031220.png: ads / ingest: data pipeline broken since 03:12:20 UTC]" in plain

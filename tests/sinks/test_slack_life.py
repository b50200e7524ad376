"""The whole life of an incident in Slack, from made-up steps."""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from slack_sdk import WebClient

from swirl.effect import Evidence, Incident, IncidentChanged, Mute, MuteChanged, Rival
from swirl.errors import DeliveryError
from swirl.sinks import Outlet
from swirl.sinks.backlog import Backlog
from swirl.sinks.routes import Route, Routes, parse_routes
from swirl.sinks.slack_blocks import Style, reply, root
from swirl.sinks.slack_bot import SlackBot
from swirl.sinks.slack_memory import Threads
from swirl.testing.slack import SlackStandIn
from tests.sinks.scene import DATA, DEPLOYMENT, POSITIVE, START

if TYPE_CHECKING:
    from collections.abc import Iterator

BUTTONS = Style(buttons=True)
ENDED: dict[str, Any] = {"state": "resolved", "resolved_ms": START + 30_000, "ending": "calm"}
ACK: dict[str, Any] = {"acknowledged_by": "mara", "acknowledged_ms": START + 105_000}
REJECTS = "ingest rejects 20\xa0100/s as invalid, usually 10/s."
SNOOZED: dict[str, Any] = {"snoozed_by": "mara", "snoozed_until_ms": START + 3_600_000}


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(pace=0.0, channels=("#ads-oncall", "#ml", "#data")) as server:
        yield server


class Time:
    """Seconds that a test moves."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def worker(
    slack: SlackStandIn,
    memory: dict[str, str] | None = None,
    routes: str = "",
    style: Style = BUTTONS,
    **given: Any,
) -> SlackBot:
    client = WebClient(token=slack.token, base_url=slack.url, timeout=2, retry_handlers=[])
    to = parse_routes(routes, "routes.toml", "#ads-oncall")
    return SlackBot(client, to, Threads({} if memory is None else memory), style, **given)


def step(
    transition: Any, revision: int = 0, reply: str = "", incident: Incident = DATA, **new: Any
) -> IncidentChanged:
    return IncidentChanged(
        transition, msgspec.structs.replace(incident, revision=revision, **new), reply=reply
    )


def words(message: dict[str, Any]) -> str:
    """All that a message says."""
    said = [message["text"]]
    for block in message["blocks"]:
        for part in [block.get("text"), *block.get("elements", [])]:
            text = part.get("text", "") if part else ""
            said.append(text if isinstance(text, str) else f"[{text['text']}]")
    return "\n".join(said)


def labels(message: dict[str, Any]) -> list[str]:
    blocks = [block for block in message["blocks"] if block["type"] == "actions"]
    return [element["text"]["text"] for block in blocks for element in block["elements"]]


def told(slack: SlackStandIn) -> list[str]:
    """The replies in the only thread."""
    (thread,) = slack.threads.values()
    return [message.text for message in thread[1:]]


# -- what the root says


def test_an_open_incident_offers_what_can_be_said_of_it_in_the_order_of_every_message() -> None:
    assert labels(root(DATA, BUTTONS)) == ["Acknowledge", "Snooze 1 h", "New normal", "False alarm"]
    taken = msgspec.structs.replace(DATA, **ACK)
    assert labels(root(taken, BUTTONS)) == ["Snooze 1 h", "New normal", "False alarm"]


def test_nobody_is_offered_a_button_that_nobody_hears() -> None:
    assert labels(root(DATA)) == []
    assert labels(root(step("resolved", **ENDED).incident)) == []
    assert "Was this a true alarm" not in words(root(step("resolved", **ENDED).incident))


def test_what_cannot_be_undone_asks_again_and_says_so() -> None:
    (block,) = (b for b in root(DATA, BUTTONS)["blocks"] if b["type"] == "actions")
    asks = {e["action_id"]: e["confirm"]["text"]["text"] for e in block["elements"] if "confirm" in e}
    assert sorted(asks) == ["swirl.false_alarm", "swirl.new_normal"]
    assert "kept as a version" in asks["swirl.new_normal"]
    assert "no button to undo" in asks["swirl.new_normal"]
    assert "restored" not in asks["swirl.new_normal"]


def test_the_root_shows_who_is_on_it_and_until_when_nobody_is_told_news() -> None:
    said = words(root(msgspec.structs.replace(DATA, **ACK, **SNOOZED, reopened=2)))
    assert "Acknowledged by mara at <!date^1795230845^{time_secs}|03:14:05 UTC>." in said
    assert "Snoozed until <!date^1795234340^{time_secs}|04:12:20 UTC> by mara." in said
    assert "It came back twice." in said


def test_a_snooze_until_another_day_names_the_day() -> None:
    long = msgspec.structs.replace(DATA, snoozed_until_ms=START + 172_800_000)
    said = words(root(long))
    assert "<!date^1795403540^{date_num} {time_secs}|2026-11-23 03:12:20 UTC>" in said


def test_the_root_links_to_the_page_and_the_runbook_where_they_are() -> None:
    said = words(root(DATA, Style(url="https://swirl.example.com/", runbook="https://wiki/a?b&c=<d>")))
    assert "<https://swirl.example.com/incidents/ads-20261121-031220|Live page>" in said
    assert "<https://wiki/a?b&amp;c=%3Cd%3E|Runbook>" in said
    assert "Live page" not in words(root(DATA))


def test_a_resolved_root_says_how_it_ended_by_whom_and_why_and_asks_one_thing() -> None:
    ended = step("resolved", **{**ENDED, "ending": "resolved", "ended_by": "mara", "why": "rolled <b>"})
    message = root(ended.incident, BUTTONS)
    assert "mara says that it is over: rolled &lt;b&gt;." in words(message)
    assert "Was this a true alarm?" in words(message)
    assert labels(message) == ["It was", "False alarm"]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({"judged": "confirmed"}, "It was a true alarm."),
        ({"judged": "false_alarm"}, "It was a false alarm."),
        (
            {"ending": "false_alarm", "ended_by": "mara", "judged": "false_alarm"},
            "mara says that it was a false alarm.",
        ),
        ({"ending": "false_alarm", "ended_by": "mara"}, "mara says that it was a false alarm."),
    ],
)
def test_what_was_judged_is_not_asked_again(new: dict[str, Any], said: str) -> None:
    message = root(step("judged", **{**ENDED, **new}).incident, BUTTONS)
    assert said in words(message)
    assert labels(message) == []


@pytest.mark.parametrize("label", ["<!channel>", "positive", "very positive (new)"])
def test_no_label_reaches_slack_unless_it_is_allowed(label: str) -> None:
    evidence = msgspec.structs.replace(POSITIVE, label=label, name=f"classify {label} ratio")
    incident = msgspec.structs.replace(
        DEPLOYMENT,
        evidence=(evidence,),
        sentence=f"classify calls 0.21 of its records {label}, usually 0.80.",
        look_first=f"at {label}, side by side.",
        moved=(("text", label, 0.1, 0.9),),
    )
    change = IncidentChanged("updated", incident, f"{label} ratio 0.80 → 0.21.")
    bare = label.replace("<", "").replace(">", "")
    for message in (
        root(incident),
        reply(change),
        root(step("resolved", incident=incident, **ENDED).incident),
    ):
        assert bare not in str(message)
    assert "classify calls *0.21* of its records one label, usually 0.80." in words(root(incident))
    assert "label ratio 0.80 → 0.21." in words(reply(change))
    shown = Style(show_labels=True)
    assert all(bare in str(message) for message in (root(incident, shown), reply(change, shown)))


def test_several_labels_and_segments_are_told_apart_without_being_told() -> None:
    pieces = [
        Evidence("classify", metric, label, name, "0.80", "0.21", 0.8, 0.21)
        for metric, label, name in (
            ("prediction_ratio", "spam", "spam ratio"),
            ("prediction_ratio", "spam and scam", "spam and scam ratio"),
            ("segment_prediction_ratio", "DE: spam", "classify DE: spam"),
        )
    ]
    incident = msgspec.structs.replace(
        DEPLOYMENT,
        evidence=tuple(pieces),
        segment="DE",
        sentence="classify calls 0.21 of its records spam and scam. Nearly all of it in segment DE.",
    )
    said = words(root(incident))
    assert "label 2. Nearly all of it in one segment." in said
    assert "label 1 ratio" in said
    assert not any(word in said for word in ("spam", "DE"))


@pytest.mark.parametrize("label", ["ada@example.com", "en-US, other", "a: b", "spam (x)", "x ratio 3"])
@pytest.mark.parametrize(
    "why", ["{} ratio still 0.80", "{} ratio 0.80 → 0.21 does not fit", "{} ratio is 9 sigma away"]
)
def test_a_label_of_any_characters_that_is_no_evidence_is_withheld(label: str, why: str) -> None:
    rivals = (Rival("input drift", "classify", 0.1, why.format(label)),)
    said = words(root(msgspec.structs.replace(DATA, rivals=rivals)))
    assert label not in said
    assert why.format("label") in said


def test_a_label_that_is_no_evidence_is_withheld_too() -> None:
    rivals = (
        Rival("input drift", "classify", 0.001, "spam ratio is 3 sigma away"),
        Rival("slow stage", "serve", 0.001, "classify spam ratio still 0.80"),
        Rival("source outage", "serve", 0.001, "serve output ratio still 0.99"),
    )
    incident = msgspec.structs.replace(
        DATA, rivals=rivals, second="classify calls 0.1 of its records spam, usually 0.80."
    )
    said = words(root(incident))
    assert "spam" not in said
    assert "(label ratio is 3 sigma away)" in said
    assert "serve output ratio still 0.99" in said
    assert "classify calls 0.1 of its records one label, usually 0.80." in said
    change = IncidentChanged(
        "updated", incident, "In full now: ingest invalid 10/s → 20/s, spam ratio 0.8 → 0.2."
    )
    assert "ingest invalid 10/s → 20/s, label ratio 0.8 → 0.2." in words(reply(change))


def test_an_open_incident_that_was_confirmed_says_so() -> None:
    assert "It is a true alarm." in words(root(msgspec.structs.replace(DATA, judged="confirmed")))


def test_a_label_that_is_a_number_leaves_the_numbers_alone() -> None:
    evidence = msgspec.structs.replace(POSITIVE, label="1", name="1 ratio")
    sentence = "classify calls 0.21 of its records 1, usually 0.80, for 1 s."
    said = words(root(msgspec.structs.replace(DEPLOYMENT, evidence=(evidence,), sentence=sentence)))
    assert "of its records one label, usually 0.80, for 1\xa0s." in said
    assert "label ratio" in said


# -- the thread


def test_each_step_edits_the_root_and_only_news_for_people_are_replies(slack: SlackStandIn) -> None:
    bot = worker(slack)
    for change in (
        step("opened"),
        step("acknowledged", 1, **ACK),
        step("updated", 2, "Worse: 30 000/s.", **ACK),
        step("snoozed", 3, **ACK, **SNOOZED),
        step("updated", 4, "Wider.", **ACK, **SNOOZED),
        step("woken", 5, **ACK),
        step("resolved", 6, **ACK, **ENDED),
        step("judged", 7, "It was as told, says mara.", **{**ACK, **ENDED, "judged": "confirmed"}),
    ):
        bot.handle(change)
    assert told(slack) == [
        "ads / ingest: Worse: 30\xa0000/s.",
        f"ads / ingest: The snooze is over, and it is still open: {REJECTS}",
        "ads / ingest: resolved at 03:12:50 UTC after 30\xa0s",
        "ads / ingest: It was as told, says mara.",
    ]
    (thread,) = slack.threads.values()
    assert thread[0].edits == 7
    assert "It was a true alarm." in words(thread[0].payload)


def test_what_is_over_has_a_mark_and_what_comes_back_has_none(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(step("opened"))
    bot.handle(step("resolved", 1, **ENDED))
    assert slack.messages[0].reactions == ["white_check_mark"]
    bot.handle(step("reopened", 2, "It came back at 03:20:00 UTC.", reopened=1))
    assert slack.messages[0].reactions == []
    assert told(slack)[-1] == "ads / ingest: It came back at 03:20:00 UTC."
    assert slack.messages[0].text.startswith("ads / ingest: data pipeline broken since")


def test_without_the_scope_for_marks_this_is_said_once_and_nothing_fails(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    slack.scopes.discard("reactions:write")
    bot = worker(slack)
    with caplog.at_level(logging.WARNING, "swirl"):
        for incident in (DATA, DEPLOYMENT):
            bot.handle(step("opened", incident=incident))
            bot.handle(step("resolved", 1, incident=incident, **ENDED))
    assert len(caplog.messages) == 1
    assert "reactions:write" in caplog.messages[0]
    assert bot.trouble == ""


def test_what_is_muted_is_told_to_nobody_until_the_work_is_over(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(step("opened", muted=True))
    bot.handle(step("updated", 1, "Worse.", muted=True))
    assert slack.calls == []
    bot.handle(step("opened", 2))
    assert len(slack.threads) == 1
    assert told(slack) == []


def test_a_thread_that_was_there_before_the_work_says_that_it_is_still_open(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(step("opened"))
    bot.handle(step("updated", 1, muted=True))
    assert [m.edits for m in slack.messages] == [0]
    bot.handle(step("opened", 2))
    assert told(slack) == [f"ads / ingest: Still open after the planned work: {REJECTS}"]


def test_an_opening_after_the_work_whose_answer_was_lost_is_not_told_twice(slack: SlackStandIn) -> None:
    bot = worker(slack)
    slack.lose_answers()
    with pytest.raises(OSError, match="without response"):
        bot.handle(step("opened", 2))
    bot.handle(step("opened", 2))
    other = worker(slack)
    other.doubt(step("opened", 2).identity)
    other.handle(step("opened", 2))
    assert len(slack.messages) == 1


MUTE = Mute("ingest", START, START + 7_200_000, "mara", "<!here> schema moves")


def test_planned_work_is_one_line_in_the_channel(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(MuteChanged("ads", "began", MUTE))
    bot.handle(MuteChanged("ads", "ended", MUTE, (step("resolved", **ENDED).incident,)))
    assert [m.thread_ts for m in slack.messages] == ["", ""]
    began, ended = (words(m.payload) for m in slack.messages)
    assert "until <!date^1795237940^{time_secs}|05:12:20 UTC> by mara (&lt;!here&gt; schema moves)" in began
    assert "Meanwhile: ingest: data pipeline broken from 03:12:20 UTC for 30\xa0s." in ended


def test_planned_work_whose_answer_was_lost_is_not_told_twice(slack: SlackStandIn) -> None:
    began, bot = MuteChanged("ads", "began", MUTE), worker(slack)
    slack.lose_answers()
    with pytest.raises(OSError, match="without response"):
        bot.handle(began)
    bot.handle(began)
    after = worker(slack)
    after.doubt(began.identity)
    after.handle(began)
    assert len(slack.messages) == 1
    other = MuteChanged("ads", "began", msgspec.structs.replace(MUTE, since_ms=START + 1))
    after.doubt(other.identity)
    after.handle(other)
    assert len(slack.messages) == 2


def test_blocks_that_slack_does_not_take_are_told_as_plain_text(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    bot = worker(slack)
    slack.fail_next(status=200, body='{"ok": false, "error": "invalid_blocks"}')
    with caplog.at_level(logging.WARNING, "swirl"):
        bot.handle(step("opened"))
    assert [m.payload["blocks"] for m in slack.messages] == [[]]
    assert slack.messages[0].text.startswith("ads / ingest: data pipeline broken")
    assert "told as plain text" in caplog.text


# -- routes


ROUTES = """
[[route]]
stage = "ingest"
channel = "#data"
mention = "@here"
quiet = "22:00-07:00 Europe/Berlin"
"""


def test_an_incident_stays_in_its_channel_even_if_its_cause_moves_it(slack: SlackStandIn) -> None:
    memory: dict[str, str] = {}
    worker(slack, memory, ROUTES).handle(step("opened"))
    elsewhere = step("updated", 1, "The cause is another.", stage="serve")
    worker(slack, memory, ROUTES).handle(elsewhere)
    assert {m.channel for m in slack.messages} == {"C00000002"}
    worker(slack, {}, ROUTES).handle(step("updated", 2, "Wider.", stage="serve"))
    assert len(slack.threads) == 1


def test_only_what_wakes_people_calls_them(slack: SlackStandIn) -> None:
    bot = worker(slack, routes=ROUTES)
    bot.handle(step("opened"))
    assert words(slack.messages[0].payload).count("<!here>") == 1
    for change in (
        step("updated", 1, "Worse."),
        step("acknowledged", 2, **ACK),
        step("resolved", 3, **ACK, **ENDED),
    ):
        bot.handle(change)
    assert not any("<!here>" in words(m.payload) for m in slack.messages)
    bot.handle(step("reopened", 4, "It came back.", reopened=1, **ACK))
    assert "<!here> It came back." in words(slack.messages[-1].payload)


def test_where_an_incident_is_told_is_known_at_once_while_a_disk_is_slow() -> None:
    class Slow(dict[str, str]):
        busy, go_on = threading.Event(), threading.Event()

        def __setitem__(self, key: str, value: str) -> None:
            self.busy.set()
            self.go_on.wait(10)
            super().__setitem__(key, value)

    memory = Slow()
    threads = Threads(memory)
    writer = threading.Thread(target=threads.keep, args=("chart/ads", "there"))
    writer.start()
    assert memory.busy.wait(10)
    asked = threading.Thread(target=threads.place, args=("ads",))
    asked.start()
    asked.join(2)
    assert not asked.is_alive()
    memory.go_on.set()
    writer.join(10)
    asked.join(10)


def test_what_came_back_calls_people_also_if_a_later_step_tells_it(slack: SlackStandIn) -> None:
    """While Slack is away, a step gives way to the next one of its incident."""
    memory: dict[str, str] = {}
    for change in (step("opened"), step("resolved", 1, **ENDED), step("updated", 3, "Worse.", reopened=1)):
        worker(slack, memory, ROUTES).handle(change)
    assert "<!here> Worse." in words(slack.messages[-1].payload)
    worker(slack, memory, ROUTES).handle(step("updated", 4, "Still worse.", reopened=1))
    assert "<!here>" not in words(slack.messages[-1].payload)


def test_a_thread_that_was_found_again_still_calls_people_when_it_becomes_worse(slack: SlackStandIn) -> None:
    worker(slack, {}, ROUTES).handle(step("opened", severity="degraded"))
    heir = worker(slack, {}, ROUTES)
    heir.handle(step("updated", 1, "Wider.", severity="degraded"))
    heir.handle(step("updated", 2, "Worse."))
    assert len(slack.threads) == 1
    assert "<!here> Worse." in words(slack.messages[-1].payload)


def test_what_becomes_worse_calls_people_then_and_once(slack: SlackStandIn) -> None:
    memory: dict[str, str] = {}
    worker(slack, memory, ROUTES).handle(step("opened", severity="degraded"))
    assert memory[DATA.id].endswith("/calm")
    for revision in (1, 2):
        worker(slack, memory, ROUTES).handle(step("updated", revision, "Worse."))
    calls = ["<!here>" in words(m.payload) for m in slack.messages]
    assert calls == [False, True, False]
    assert not memory[DATA.id].endswith("/calm")


NIGHT = datetime(2026, 11, 21, 23, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


def test_what_can_wait_waits_for_the_end_of_the_quiet_hours(slack: SlackStandIn) -> None:
    wall = Time(NIGHT)
    bot = worker(slack, routes=ROUTES, now=wall)
    calm = step("opened", severity="degraded")
    assert bot.wait(calm) == 8 * 3600
    assert bot.wait(step("opened")) <= 0.0
    assert bot.wait(step("opened", severity="degraded", stage="serve")) <= 0.0
    assert bot.wait(MuteChanged("ads", "began", MUTE)) <= 0.0
    bot.handle(calm)
    assert bot.wait(step("updated", 1, severity="degraded")) == 8 * 3600
    assert bot.wait(step("acknowledged", 1, severity="degraded", **ACK)) <= 0.0
    wall.now += 8 * 3600
    assert bot.wait(calm) <= 1.0


def test_after_the_quiet_hours_it_is_told_once_as_it_stands(slack: SlackStandIn) -> None:
    wall, ticks = Time(NIGHT), Time()
    outlet = Outlet(worker(slack, routes=ROUTES, now=wall, clock=ticks), clock=ticks)
    outlet.offer(step("opened", severity="degraded"))
    ticks.now += 3600
    outlet.offer(step("updated", 1, "Worse.", severity="degraded"))
    ticks.now += 3600
    outlet.offer(step("resolved", 2, severity="degraded", **ENDED))
    assert not outlet.drain(0.05)
    assert slack.messages == []
    wall.now += 8 * 3600
    ticks.now += 6 * 3600
    outlet.offer(step("opened", incident=DEPLOYMENT))
    assert outlet.drain(10)
    assert outlet.close()
    assert [m.text[:22] for m in slack.messages if "ingest" in m.text] == ["ads / ingest: resolved"]
    assert outlet.counts.delivered == 2
    assert outlet.counts.replaced == 2


# -- pace and trouble


def test_a_channel_gets_a_message_a_second_and_another_one_does_not_wait(slack: SlackStandIn) -> None:
    ticks = Time()
    bot = worker(slack, routes=ROUTES, clock=ticks)
    other = step("opened", incident=DEPLOYMENT)
    assert bot.wait(step("opened")) <= 0.0
    bot.handle(step("opened"))
    assert bot.wait(step("updated", 1)) == 1.0
    assert bot.wait(step("acknowledged", 1, **ACK)) <= 0.0
    assert bot.wait(other) <= 0.0
    ticks.now += 1.0
    assert bot.wait(step("updated", 1)) <= 0.0


def test_when_slack_asks_to_slow_down_only_that_channel_waits(slack: SlackStandIn) -> None:
    ticks = Time()
    bot = worker(slack, routes=ROUTES, clock=ticks)
    slack.fail_next(status=429, retry_after=30)
    with pytest.raises(DeliveryError):
        bot.handle(step("opened"))
    assert bot.wait(step("opened")) == 30.0
    assert bot.wait(step("opened", incident=DEPLOYMENT)) <= 0.0
    ticks.now += 30
    bot.handle(step("opened"))
    slack.fail_next(status=429, retry_after=20)
    with pytest.raises(DeliveryError):
        bot.handle(step("acknowledged", 1, **ACK))
    assert bot.wait(step("opened", incident=DEPLOYMENT)) == 20.0


def test_a_channel_that_is_wrong_stops_no_other_and_is_told_with_what_to_do(slack: SlackStandIn) -> None:
    ticks = Time()
    bot = worker(slack, routes=ROUTES.replace("#data", "#gone"), clock=ticks)
    with pytest.raises(DeliveryError):
        bot.handle(step("opened"))
    bot.handle(step("opened", incident=DEPLOYMENT))
    assert bot.trouble.startswith("Slack refuses messages in #gone (channel_not_found): check")
    assert bot.wait(step("opened")) == 60.0


def test_a_token_that_is_wrong_stops_all_calls_for_a_while_and_health_says_so(slack: SlackStandIn) -> None:
    ticks = Time()
    bot = worker(slack, clock=ticks)
    slack.fail_next(status=200, body='{"ok": false, "error": "invalid_auth"}')
    with pytest.raises(DeliveryError):
        bot.handle(step("opened"))
    assert bot.trouble == "Slack refuses messages (invalid_auth): check SWIRL_SLACK_TOKEN"
    assert bot.wait(step("opened", incident=DEPLOYMENT)) == 60.0
    bot.handle(step("opened"))
    assert bot.trouble == ""


@pytest.mark.parametrize(
    ("status", "body", "delay"),
    [(500, "", 0.0), (429, "", 0.0), (200, "<html>a proxy</html>", 0.0), (200, "", 0.5)],
)
def test_trouble_that_passes_is_in_the_health_until_it_has_passed(
    slack: SlackStandIn, status: int, body: str, delay: float
) -> None:
    client = WebClient(token=slack.token, base_url=slack.url, timeout=0.2, retry_handlers=[])  # type: ignore[arg-type]
    bot = SlackBot(client, Routes((), Route("#ml")), Threads({}))
    slack.fail_next(status=status, body=body, delay=delay)
    with pytest.raises((DeliveryError, OSError)):
        bot.handle(step("opened"))
    assert "status.slack.com" in bot.trouble
    bot.handle(step("opened"))
    assert bot.trouble == ""


def test_nobody_there_is_told_with_what_to_do() -> None:
    client = WebClient(token="xoxb-1", base_url="http://127.0.0.1:9/api/", timeout=2, retry_handlers=[])
    bot = SlackBot(client, Routes((), Route("#ml")), Threads({}))
    with pytest.raises(OSError, match="refused"):
        bot.handle(step("opened"))
    assert "refused" in bot.trouble


def test_after_an_hours_outage_each_of_200_incidents_is_told_once_as_it_stands() -> None:
    """One thread an incident, and never a message too fast, although an answer was lost too."""
    now, count = Time(START / 1000), 200
    many = [msgspec.structs.replace(DATA, id=f"ads-20261121-{n:06d}") for n in range(count)]
    with SlackStandIn(pace=1.0, clock=now) as slack:
        bot, backlog = worker(slack, clock=now), Backlog()
        slack.lose_answers(1)
        backlog.offer(step("opened", incident=many[0]), now())
        carry_on(backlog, bot, now, until=now() + 0.3)
        slack.fail_next(100_000, status=503)
        for incident in many:
            backlog.offer(step("opened", incident=incident), now())
        for revision in range(1, 6):
            carry_on(backlog, bot, now, until=now() + 600)
            for incident in many:
                backlog.offer(step("updated", revision, "Worse.", incident=incident), now())
        for incident in many[:100]:
            backlog.offer(step("resolved", 6, incident=incident, **ENDED), now())
        carry_on(backlog, bot, now, until=now() + 600)
        slack.heal()
        calls = len(slack.calls)
        carry_on(backlog, bot, now, until=now() + 900)
        assert backlog.counts.pending == backlog.counts.failed == backlog.counts.dropped == 0
        assert len(slack.threads) == count
        roots = [words(thread[0].payload).partition("\n")[0] for thread in slack.threads.values()]
        assert sum("resolved" in root for root in roots) == 100
        assert sum(len(thread) - 1 for thread in slack.threads.values()) == 1
        posts = [method for method, _ in slack.calls[calls:]].count("chat.postMessage")
        assert posts == len(slack.messages) - 1


def carry_on(backlog: Backlog, bot: SlackBot, now: Time, until: float) -> None:
    """What an outlet does, in a time that the test moves."""
    while now() < until:
        found = backlog.take(now(), bot.wait)
        if found is None:
            now.now = until
        elif isinstance(found, float):
            now.now += max(found, 0.001)
        else:
            try:
                bot.handle(found)
            except (DeliveryError, OSError) as error:
                backlog.stumbled(error, now())
            else:
                backlog.succeeded()


LIFE = (
    step("opened"),
    step("updated", 1, "Worse."),
    step("acknowledged", 2, **ACK),
    step("resolved", 3, **ACK, **ENDED),
    step("reopened", 4, "It came back.", reopened=1),
    step("resolved", 5, reopened=1, **ENDED),
    step("judged", 6, reopened=1, judged="confirmed", **ENDED),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["well", "away", "lost", "refused"]),
            st.booleans(),
            st.sampled_from([0.1, 1.2, 20.0]),
        ),
        min_size=len(LIFE),
        max_size=len(LIFE),
    )
)
@example([("lost", True, 0.1)] + [("well", False, 1.2)] * 6)
@example([("well", False, 1.2), ("lost", True, 0.1)] + [("away", True, 20.0)] * 5)
def test_whatever_goes_wrong_there_is_one_thread_that_ends_true_and_says_nothing_twice(
    faults: list[tuple[str, bool, float]],
) -> None:
    """Answers are lost, Slack is away, workers change and know nothing but what waits."""
    now = Time(START / 1000)
    with SlackStandIn(pace=1.0, clock=now) as slack:
        bot, backlog = worker(slack, clock=now), Backlog()
        for change, (fault, moves, pause) in zip(LIFE, faults, strict=True):
            slack.heal()
            if fault == "away":
                slack.fail_next(100, status=503)
            elif fault == "refused":
                slack.fail_next(status=429, retry_after=3)
            elif fault == "lost":
                slack.lose_answers()
            backlog.offer(change, now())
            carry_on(backlog, bot, now, until=now() + pause)
            if moves:
                waiting, bot, backlog = backlog.waiting, worker(slack, clock=now), Backlog()
                for left in waiting:
                    bot.doubt(left.identity)
                    backlog.offer(left, now())
        slack.heal()
        carry_on(backlog, bot, now, until=now() + 600)
        assert backlog.counts.pending == 0
        (thread,) = slack.threads.values()
        replies = [m.payload["metadata"]["event_payload"]["identity"] for m in thread[1:]]
        assert len(replies) == len(set(replies))
        assert "It was a true alarm." in words(thread[0].payload)

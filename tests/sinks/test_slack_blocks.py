from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl.effect import Evidence, Incident, Rival
from swirl.sinks.slack_blocks import TABLE, Style, metadata, opened, reply, resolved, root
from swirl.testing.slack_text import complaint
from tests.sinks.scene import DATA, DEPLOYMENT, changed

NB = "\u00a0"
SHOWN = Style(show_labels=True, buttons=True, url="https://swirl.example.com", runbook="https://wiki/x")

OPENED = {
    "text": f"ads / ingest: data pipeline broken since 03:12:20 UTC. ingest invalid 10/s → 20{NB}100/s, "
    "label ratio 0.80 → 0.21",
    "blocks": [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": "◆ ads / ingest: data pipeline broken since 03:12:20 UTC",
                "emoji": False,
            },
        },
        {
            "type": "section",
            "text": {
                "type": "mrkdwn",
                "text": f"ingest rejects *20{NB}100/s* as invalid, usually 10/s. classify and serve follow.\n"
                "```                  usual       now\n"
                "ingest invalid     10/s  20 100/s\n"
                "label ratio        0.80      0.21\n"
                "clicks          2 000/s      10/s```",
                "verbatim": True,
            },
        },
        {
            "type": "section",
            "text": {
                "type": "mrkdwn",
                "text": "*Look first* at what feeds ingest: the source and its schema. Not at the model.",
                "verbatim": True,
            },
        },
        {
            "type": "context",
            "elements": [
                {
                    "type": "mrkdwn",
                    "text": f"97{NB}% likely. Ruled out: input drift at ingest (drift alone fails no check), "
                    "bad deployment at classify (no version changed), "
                    f"source outage at ingest (25{NB}010 records/s still arrive).",
                    "verbatim": True,
                }
            ],
        },
        {
            "type": "context",
            "elements": [
                {
                    "type": "mrkdwn",
                    "text": "opened <!date^1795230741^{time_secs}|03:12:21 UTC> · ads-20261121-031220",
                    "verbatim": True,
                }
            ],
        },
    ],
}


def texts(message: dict[str, Any]) -> list[str]:
    found = [message["text"]]
    for block in message["blocks"]:
        parts = [part for part in [block.get("text"), *block.get("elements", [])] if part]
        found += [p["text"]["text"] if p["type"] == "button" else p["text"] for p in parts]
    return found


def test_an_opening_reads_as_drawn() -> None:
    assert opened(DATA) == OPENED


def test_a_bad_deployment_names_the_version_in_its_first_line() -> None:
    message = opened(DEPLOYMENT)
    assert message["text"].startswith(
        "ads / classify: bad deployment 2026.11.2 since 03:13:20 UTC. label ratio 0.80"
    )
    assert message["blocks"][2]["text"]["text"] == (
        "*Look first* at version 2026.11.2; going back to 2026.11.1 is the quickest test. "
        "2026.11.2 went out at <!date^1795230800^{time_secs}|03:13:20 UTC> "
        f"and explains 99{NB}% of the effect."
    )


def test_an_end_tells_how_long_how_bad_and_what_it_cost() -> None:
    message = resolved(changed(DATA, "resolved").incident)
    assert (
        message["text"] == f"ads / ingest: resolved at 03:12:50 UTC after 30{NB}s. Was: data pipeline broken"
    )
    told = texts(message)
    assert told[1] == f"✓ ads / ingest: resolved at 03:12:50 UTC after 30{NB}s"
    assert "worst       now\ningest invalid  20 130/s  20 100/s" in told[2]
    assert told[3] == f"*Cost*: 400{NB}000 records rejected, 40{NB}000 clicks missed."


def test_the_root_of_an_incident_follows_its_state() -> None:
    assert root(DATA) == opened(DATA)
    ended = changed(DATA, "resolved").incident
    assert root(ended) == resolved(ended)


def test_a_reply_tells_only_what_is_new() -> None:
    message = reply(changed(DATA, "updated", "Half recovered: 10 000/s."))
    assert texts(message)[1:] == [
        f"Half recovered: 10{NB}000/s.",
        f"Now: ingest: data pipeline broken, 97{NB}% likely.",
    ]
    assert message["text"] == f"ads / ingest: Half recovered: 10{NB}000/s."
    ended = reply(changed(DATA, "resolved", "Resolved at 03:12:50 UTC after 30 s; none of it was learnt."))
    assert texts(ended)[1:] == [
        f"*Resolved* at <!date^1795230770^{{time_secs}}|03:12:50 UTC> after 30{NB}s; none of it was learnt."
    ]


def test_a_reply_without_words_says_how_it_stands() -> None:
    assert texts(reply(changed(DATA, "updated")))[1] == f"ingest: data pipeline broken, 97{NB}% likely"
    assert texts(reply(changed(DATA, "resolved")))[1] == (
        f"*Resolved* at <!date^1795230770^{{time_secs}}|03:12:50 UTC> after 30{NB}s."
    )


def test_times_are_never_cut_in_two() -> None:
    for length in range(2900, 2990):
        message = opened(
            msgspec.structs.replace(DATA, look_first="x" * length, version_line="since 03:12:20 UTC")
        )
        text = texts(message)[3]
        assert text.count("<") == text.count(">")


def test_metadata_lets_a_program_find_the_message() -> None:
    assert metadata(changed(DATA), "posted") == {
        "event_type": "swirl_incident",
        "event_payload": {
            "identity": changed(DATA).identity,
            "step": "posted",
            "pipeline": "ads",
            "incident": DATA.id,
            "revision": 0,
            "transition": "opened",
        },
    }


def test_reasons_are_withheld_unless_they_are_allowed() -> None:
    assert "text missing" not in json.dumps(opened(DATA))
    shown = texts(opened(DATA, SHOWN))[1:]
    assert f"99.7{NB}% give the reason “text missing”, 0.3{NB}% “text truncated”." in " ".join(shown)


def test_a_preliminary_diagnosis_and_open_rivals_say_so() -> None:
    rivals = (
        Rival("input drift", "ingest", 0.31, "the features moved"),
        Rival("source outage", "", 0.001, ""),
    )
    incident = msgspec.structs.replace(
        DATA, posterior=0.6, rivals=rivals, preliminary=True, second="serve is slow too."
    )
    told = texts(opened(incident))
    assert told[4] == "serve is slow too."
    assert told[5] == (
        f"60{NB}% likely, preliminary: the next window may name another cause. "
        f"Possible: input drift at ingest, 31{NB}% likely (the features moved). Ruled out: source outage."
    )


def test_an_incident_without_stage_or_numbers_can_be_told() -> None:
    incident = msgspec.structs.replace(
        DATA, stage="", cause="cause unknown", evidence=(), rivals=(), follows=()
    )
    assert opened(incident)["text"] == "ads: cause unknown since 03:12:20 UTC"
    assert "```" not in json.dumps(opened(incident))


@pytest.mark.parametrize("name", ["<!channel>", "<@U0MARA>", "a & b", "<http://evil|click>"])
def test_names_of_users_call_nobody(name: str) -> None:
    evidence = (Evidence(name, "m", name, name, "1/s", "2/s", 1.0, 2.0),)
    incident = msgspec.structs.replace(
        DATA, pipeline=name, stage=name, sentence=f"{name} fails.", look_first=name, evidence=evidence,
        follows=(name,), version=name, version_line=name, second=name, reasons=((name, 1.0),), id=name,
        rivals=(Rival(name, name, 0.001, name),), cause=name,
    )  # fmt: skip
    for message in (
        opened(incident, SHOWN),
        resolved(incident),
        reply(changed(incident, reply=name)),
    ):
        for text in texts(message):
            bare = re.sub(r"<!date\^\d+\^\{time_secs\}\|[^<>]*>", "", text)
            bare = re.sub(r"<https://(swirl\.example\.com/incidents/[\w%.-]*|wiki/x)\|[LR][a-z ]+>", "", bare)
            assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", bare)
        for block in message["blocks"]:
            parts = [part for part in [block.get("text"), *block.get("elements", [])] if part]
            assert all(part.get("verbatim") for part in parts if part["type"] == "mrkdwn")


def test_a_backtick_does_not_break_out_of_the_table() -> None:
    evidence = (Evidence("a", "m", "", "```<!here>", "1", "2", 1.0, 2.0),)
    text = texts(opened(msgspec.structs.replace(DATA, evidence=evidence)))[2]
    assert text.count("```") == 2
    assert text.endswith("\n'''&lt;!here&gt;      1    2```")


def fuzzed(word: str, count: int) -> Incident:
    evidence = tuple(Evidence(word, "m", word, word, word, word, 0.0, 1.0, worst=word) for _ in range(count))
    rivals = tuple(Rival(word, word, 0.5 / (i + 1), word) for i in range(count))
    return msgspec.structs.replace(
        DATA, pipeline=word, stage=word, cause=word, sentence=word, look_first=word, evidence=evidence,
        rivals=rivals, follows=(word,) * count, version=word, version_line=word, second=word, cost=word,
        id=word[:200], reasons=((word, 0.5),) * count,
    )  # fmt: skip


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.integers(1, 400),
    st.integers(0, 60),
    st.sampled_from(["opened", "updated", "resolved"]),
)
def test_every_message_keeps_slacks_limits(word: str, times: int, count: int, transition: Any) -> None:
    change = changed(fuzzed(word * times, count), transition, reply=word * times)
    for message in (root(change.incident, SHOWN), reply(change, SHOWN)):
        assert complaint(message, 4000) is None
        for text in texts(message):
            for code in re.findall(r"```(.*?)```", text, re.DOTALL):
                told = code.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
                assert max(map(len, told.split("\n"))) <= TABLE


def test_what_was_cut_says_so() -> None:
    message = opened(msgspec.structs.replace(DATA, sentence="word " * 2000, pipeline="p" * 300))
    told = texts(message)
    assert told[2].split("\n")[0].endswith("… (cut)")
    assert len(told[2]) <= 3000
    assert "… (cut): data pipeline broken since 03:12:20 UTC" in told[1]

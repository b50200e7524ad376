"""What a program says of incidents goes the way that frames go, with who said it and how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import pytest

import swirl
from swirl.frame import Act, decode, incident_pipeline
from swirl.sdk import transport as transports
from swirl.sdk.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "frame.md").read_text(encoding="utf-8")
IDENT = "ads-eu-20261121-031220"


class Kept(Transport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes]] = []

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:
        self.records.append((pipeline, payload))

    def close(self, timeout: float) -> None:
        """Nothing is under way."""

    @property
    def act(self) -> Act:
        """The last one."""
        (pipeline, payload) = self.records[-1]
        act = decode(payload)
        assert isinstance(act, Act)
        assert act.pipeline == pipeline
        return act


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(transports, "installed", lambda: kept)
    monkeypatch.setattr("getpass.getuser", lambda: "mia")
    return kept


@pytest.mark.parametrize(
    ("say", "act", "for_ms"),
    [
        (swirl.acknowledge, "acknowledge", 0),
        (swirl.snooze, "snooze", 3_600_000),
        (swirl.resolve, "resolve", 0),
        (swirl.new_normal, "new_normal", 0),
        (swirl.false_alarm, "false_alarm", 0),
    ],
)
def test_an_act_on_an_incident_names_its_pipeline_who_and_why(
    kept: Kept, say: Any, act: Any, for_ms: int
) -> None:
    say(IDENT, "because")
    assert kept.act == Act("ads-eu", act, IDENT, "mia", "because", for_ms=for_ms, via="code")
    say(IDENT, who="kim")
    assert (kept.act.who, kept.act.why) == ("kim", "")


def test_a_snooze_takes_hours_or_seconds(kept: Kept) -> None:
    swirl.snooze(IDENT, hours=0.5)
    assert kept.act.for_ms == 1_800_000
    swirl.snooze(IDENT, for_seconds=90)
    assert kept.act.for_ms == 90_000


def test_planned_work_is_of_a_pipeline_or_of_one_stage(kept: Kept) -> None:
    swirl.mute("ads", for_seconds=7200, why="a migration")
    assert kept.act == Act("ads", "mute", "", "mia", "a migration", for_ms=7_200_000, via="code")
    swirl.mute("ads", "ingest", for_seconds=0.0001)
    assert (kept.act.stage, kept.act.for_ms) == ("ingest", 1)
    swirl.unmute("ads", "ingest", who="kim")
    assert kept.act == Act("ads", "unmute", "", "kim", stage="ingest", via="code")


@pytest.mark.parametrize("seconds", [0.0, -1.0, 30 * 86_400 + 1, float("inf"), float("nan")])
def test_a_time_that_makes_no_sense_is_refused_with_what_to_give(kept: Kept, seconds: float) -> None:
    with pytest.raises(swirl.DefinitionError, match="more than 0 and at most 30 days"):
        swirl.mute("ads", for_seconds=seconds)
    with pytest.raises(swirl.DefinitionError, match="more than 0 and at most 30 days"):
        swirl.snooze(IDENT, hours=seconds / 3600)
    assert kept.records == []


def test_planned_work_of_no_pipeline_is_refused() -> None:
    with pytest.raises(swirl.DefinitionError, match="name the pipeline"):
        swirl.mute("", for_seconds=60)


@pytest.mark.parametrize(
    ("ident", "pipeline"),
    [
        ("ads-20261121-031220", "ads"),
        ("a-20261121-031220-20261121-031221", "a-20261121-031220"),
        ("die Suche-20261121-031220", "die Suche"),
        ("-20261121-031220", ""),
        ("ads-2026112-031220", ""),
        ("ads-20261121-03122०", ""),
        ("", ""),
    ],
)
def test_an_identity_tells_its_pipeline(ident: str, pipeline: str) -> None:
    assert incident_pipeline(ident) == pipeline


def test_the_page_on_the_format_has_every_act_and_every_field_and_its_example_is_one() -> None:
    section = PAGE.partition("## Act\n")[2].partition("\n## ")[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for cell in first for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(
        [*("t", *Act.__struct_encode_fields__), *get_args(get_type_hints(Act)["act"])]
    )
    example = section.partition("```json\n")[2].partition("\n```")[0]
    act = decode(msgspec.msgpack.encode(msgspec.json.decode(example)))
    assert act == Act("ads", "snooze", IDENT.replace("-eu", ""), "kim", for_ms=3_600_000)

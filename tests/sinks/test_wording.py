from __future__ import annotations

import msgspec
import pytest

from swirl.sinks.wording import changes, duration, headline, possible, reasons, ruled_out
from tests.sinks.scene import DATA, DEPLOYMENT, changed


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0 s"),
        (9_949, "9.9 s"),
        (9_999, "10 s"),
        (59_600, "1 min"),
        (60_000, "1 min"),
        (3_599_600, "1 h"),
        (86_400_000, "1 d"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_durations_have_at_most_two_units(ms: int, told: str) -> None:
    assert duration(ms) == told


def test_the_first_line_names_pipeline_stage_cause_and_time() -> None:
    assert headline(DATA) == "ads / ingest: data pipeline broken since 03:12:20 UTC"
    assert headline(DEPLOYMENT) == "ads / classify: bad deployment 2026.11.2 since 03:13:20 UTC"
    assert headline(changed(DATA, "resolved").incident) == "ads / ingest: resolved at 03:12:50 UTC after 30 s"


def test_the_first_line_keeps_its_length_whatever_names_users_choose() -> None:
    for field in ("pipeline", "stage", "cause", "version"):
        line = headline(msgspec.structs.replace(DATA, **{field: "x" * 500}))
        assert len(line) <= 120
        assert line.endswith("since 03:12:20 UTC")


def test_only_whole_numbers_are_told_in_the_first_line() -> None:
    assert changes(DATA, 60) == "ingest invalid 10/s → 20 100/s, positive ratio 0.80 → 0.21"
    assert changes(DATA, 40) == "ingest invalid 10/s → 20 100/s"
    assert changes(DATA, 3) == ""


def test_nothing_to_tell_is_empty() -> None:
    bare = msgspec.structs.replace(DATA, rivals=(), reasons=())
    assert (reasons(bare), ruled_out(bare), possible(bare)) == ("", "", "")

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
import pytest

from swirl.errors import SettingsError
from swirl.sinks.routes import parse_routes, read_routes
from tests.sinks.scene import DATA, DEPLOYMENT

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")

ROUTES = """
[[route]]
pipeline = "ads*"
stage = ["ingest", "clean*"]
channel = "#data-oncall"
mention = "S0123ABCD"

[[route]]
cause = "bad deployment"
severity = "tripped"
channel = "#ml-oncall"
mention = "@here"
quiet = "22:00-07:00 Europe/Berlin"

[[route]]
pipeline = "ads"
channel = "#ads"
"""


def test_the_first_route_that_matches_counts() -> None:
    routes = parse_routes(ROUTES, "routes.toml", "#ml")
    assert routes.of(DATA).channel == "#data-oncall"
    assert routes.of(DEPLOYMENT).channel == "#ml-oncall"
    assert routes.of(msgspec.structs.replace(DEPLOYMENT, severity="degraded")).channel == "#ads"
    assert routes.of(msgspec.structs.replace(DATA, pipeline="fraud")).channel == "#ml"
    assert routes.channels == ("#ml", "#data-oncall", "#ml-oncall", "#ads")


def test_patterns_tell_small_from_large_letters() -> None:
    routes = parse_routes(ROUTES, "routes.toml", "#ml")
    assert routes.of(msgspec.structs.replace(DATA, pipeline="ADS")).channel == "#ml"


def test_planned_work_goes_where_pipeline_and_stage_say() -> None:
    routes = parse_routes(ROUTES, "routes.toml", "#ml")
    assert routes.of_work("ads", "ingest").channel == "#data-oncall"
    assert routes.of_work("ads", "").channel == "#ads"
    assert routes.of_work("fraud", "").channel == "#ml"


def test_mentions_are_told_in_slacks_own_words() -> None:
    routes = parse_routes(ROUTES, "routes.toml", "#ml").routes
    assert [route.mention for route in routes] == ["<!subteam^S0123ABCD>", "<!here>", ""]
    user = '[[route]]\nchannel = "#a"\nmention = "U0123ABCD"'
    assert parse_routes(user, "routes.toml", "#ml").routes[0].mention == "<@U0123ABCD>"


@pytest.mark.parametrize(
    ("hour", "minute", "left_h"), [(21, 59, 0), (22, 0, 9), (23, 30, 7.5), (0, 0, 7), (6, 30, 0.5), (7, 0, 0)]
)
def test_quiet_hours_pass_over_midnight(hour: int, minute: int, left_h: float) -> None:
    quiet = parse_routes(ROUTES, "routes.toml", "#ml").routes[1].quiet
    assert quiet is not None
    assert quiet.left(datetime(2026, 11, 21, hour, minute, tzinfo=BERLIN).timestamp()) == left_h * 3600


def test_quiet_hours_within_a_day_end_on_that_day() -> None:
    text = '[[route]]\nchannel = "#a"\nquiet = "12:00 - 13:30"'
    quiet = parse_routes(text, "routes.toml", "#ml").routes[0].quiet
    assert quiet is not None
    noon = datetime(2026, 11, 21, 12, tzinfo=ZoneInfo("UTC")).timestamp()
    assert [quiet.left(noon + h * 3600) for h in (-1, 0, 1, 2)] == [0.0, 5400.0, 1800.0, 0.0]


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 28), 8), ((2026, 10, 24), 10), ((2026, 6, 1), 9)])
def test_the_night_in_which_the_clocks_are_set_has_another_length(
    day: tuple[int, int, int], hours: int
) -> None:
    quiet = parse_routes(ROUTES, "routes.toml", "#ml").routes[1].quiet
    assert quiet is not None
    assert quiet.left(datetime(*day, 22, tzinfo=BERLIN).timestamp()) == hours * 3600


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[route]", "routes.toml is no TOML"),
        ("channel = '#a'", "must hold tables [[route]] and nothing else. It has channel."),
        ("route = 3", "must hold tables [[route]]"),
        ("[[route]]\npipeline = 'a'", 'route 1 has no channel; write channel = "#ads-oncall"'),
        (
            "[[route]]\nchannel = '#a'\n[[route]]\nchanel = '#b'",
            "route 2 has chanel; it may have cause, channel",
        ),
        ("[[route]]\nchannel = ['#a']", 'route 1: channel must be a text, such as channel = "#ads-oncall"'),
        (
            "[[route]]\nchannel = '#a'\npipeline = 3",
            "route 1: pipeline must be a pattern or a list of patterns",
        ),
        ("[[route]]\nchannel = '#a'\nstage = []", "route 1: stage must be a pattern or a list"),
        (
            "[[route]]\nchannel = '#a'\nseverity = 'high'",
            "severity is 'high'; it must be degraded or tripped",
        ),
        ("[[route]]\nchannel = '#a'\nmention = '@mara'", "mention is '@mara'; write @here"),
        ("[[route]]\nchannel = '#a'\nquiet = 'at night'", "quiet is 'at night'; write two times and a zone"),
        ("[[route]]\nchannel = '#a'\nquiet = '25:00-07:00'", "write two times and a zone"),
        ("[[route]]\nchannel = '#a'\nquiet = '22:00-22:00'", "its two times must differ"),
        ("[[route]]\nchannel = '#a'\nquiet = '22:00-07:00 Mars/Base'", "no time zone 'Mars/Base' is known"),
        ("[[route]]\nchannel = '#a'\nquiet = '22:00-07:00 ../../etc'", "route 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_routes(text, "routes.toml", "#ml")
    assert told in str(caught.value)
    assert "routes.toml" in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"SWIRL_SLACK_ROUTES names .*nowhere"):
        read_routes(str(tmp_path / "nowhere.toml"), "#ml")


def test_without_a_file_all_goes_to_one_channel(tmp_path: Path) -> None:
    assert read_routes("", "#ml").of(DATA).channel == "#ml"
    (tmp_path / "routes.toml").write_text(ROUTES)
    assert read_routes(str(tmp_path / "routes.toml"), "#ml").of(DATA).channel == "#data-oncall"

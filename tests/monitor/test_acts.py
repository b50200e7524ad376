"""What people say of incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import swirl
from swirl.frame import Act, decode, encode
from swirl.sdk.acts import act_on
from swirl.testing import Harness

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Incident


class Shop:
    """A stage whose share of invalid records can be set."""

    def __init__(self) -> None:
        pipeline = swirl.Pipeline("shop")
        rng = np.random.default_rng(0)

        @pipeline.stage(valid=bool)
        def check(good: int) -> int:
            return good

        self.record: Callable[[float], Callable[[], object]] = lambda share: (
            lambda: check(int(rng.random() >= share))
        )
        self.harness = Harness(pipeline, window_seconds=10)

    def drive(self, share: float, seconds: float) -> None:
        self.harness.drive(self.record(share), per_second=30, seconds=seconds)

    @property
    def incident(self) -> Incident:
        return self.harness.incidents[-1]


@pytest.fixture
def shop() -> Shop:
    found = Shop()
    found.drive(0.005, 900)
    found.drive(0.3, 60)
    return found


def test_a_new_normal_ends_the_incident_with_who_and_why_and_its_values_raise_no_alarm_any_more(
    shop: Shop,
) -> None:
    shop.harness.say("new_normal", shop.incident.id, "a partner sends drafts too", who="kim")
    assert shop.incident.state == "resolved"
    assert shop.harness.changes[-1].reply == (
        "New normal, says kim: a partner sends drafts too. These values raise no alarm from now on."
    )
    shop.drive(0.3, 600)
    assert len(shop.harness.incidents) == 1


def test_a_false_alarm_ends_the_incident_and_counts_against_the_promise(shop: Shop) -> None:
    shop.harness.say("false_alarm", shop.incident.id, who="kim")
    shop.drive(0.005, 60)
    health = shop.harness.windows[-1].health
    assert shop.incident.state == "resolved"
    assert (health.false_alarms, health.budget_spent, health.budget_left) == (1, 1, 0.0)


def test_an_incident_is_judged_once_also_after_its_end(shop: Shop) -> None:
    shop.drive(0.005, 600)
    assert shop.incident.state == "resolved"
    for _ in range(3):
        shop.harness.say("false_alarm", shop.incident.id)
    shop.drive(0.005, 30)
    assert shop.harness.windows[-1].health.false_alarms == 1
    assert len(shop.harness.changes) == len({change.identity for change in shop.harness.changes})


def test_a_confirmation_ends_nothing(shop: Shop) -> None:
    shop.harness.say("confirm", shop.incident.id, cause="bad deployment", stage="check")
    assert shop.incident.state == "open"


def test_what_is_said_of_an_incident_that_nobody_was_told_of_does_nothing(shop: Shop) -> None:
    shop.harness.say("false_alarm", "shop-20200101-000000")
    shop.harness.say("new_normal", "shop-20200101-000000")
    shop.drive(0.3, 30)
    assert shop.incident.state == "open"
    assert shop.harness.windows[-1].health.false_alarms == 0


def test_an_act_before_anything_was_seen_does_nothing() -> None:
    shop = Shop()
    shop.harness.say("new_normal", "shop-20200101-000000")
    assert shop.harness.changes == []


def test_an_act_is_judged_the_same_after_a_restart(shop: Shop) -> None:
    identity = shop.incident.id
    shop.harness.restart_monitor()
    shop.harness.say("false_alarm", identity)
    assert shop.incident.state == "resolved"


def test_an_act_travels_as_a_record_of_its_pipeline() -> None:
    act = Act("a-b", "confirm", "a-b-20261121-031220", "kim", "seen", "bad deployment", "classify")
    assert decode(encode(act)) == act


@pytest.mark.parametrize("identity", ["", "ads", "ads-2026-1", 'ads: "data broken"'])
def test_what_is_no_identity_is_refused(identity: str) -> None:
    with pytest.raises(swirl.DefinitionError, match="no identity of an incident"):
        act_on("confirm", identity)


def test_where_nobody_watches_an_act_says_so() -> None:
    with pytest.raises(swirl.DefinitionError, match=r"call swirl\.watch\(\)"):
        swirl.new_normal("ads-20261121-031220")


def test_everything_that_a_person_can_say_is_said_through_the_harness(shop: Shop) -> None:
    ident, harness = shop.incident.id, shop.harness
    harness.say("acknowledge", ident, who="kim")
    harness.say("snooze", ident, "lunch", for_seconds=30, who="kim")
    shop.drive(0.3, 31)
    harness.say("resolve", ident, who="kim")
    shop.drive(0.3, 60)
    told = [change.transition for change in harness.changes if change.transition != "updated"]
    assert told == ["opened", "acknowledged", "snoozed", "woken", "resolved", "reopened"]
    assert len(harness.incidents) == 1
    harness.mute("shop", "check", for_seconds=60, why="a migration", who="kim")
    harness.unmute("shop", "check")
    assert [change.transition for change in harness.mutes] == ["began", "ended"]
    assert harness.mutes[0].mute.who == "kim"

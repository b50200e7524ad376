"""What the demo's sink remembers."""

from __future__ import annotations

from swirl.cli.scene import CLICKS, INVALID, Scene
from swirl.effect import IncidentChanged, State
from tests.cli.effects import BROKEN, ONSET_MS, incident, opened, window


def test_an_effect_that_comes_twice_changes_nothing() -> None:
    scene = Scene(lambda: ONSET_MS)
    for _ in range(2):
        scene.handle(window(ONSET_MS))
        scene.handle(opened(incident()))
    assert len(scene.view().windows) == len(scene.told()) == 1


def test_revised_windows_are_left_out() -> None:
    scene = Scene(lambda: ONSET_MS)
    scene.handle(window(ONSET_MS, revision=1))
    assert not scene.view().windows


def test_what_is_usual_is_what_was_before_the_incident() -> None:
    scene = Scene(lambda: ONSET_MS)
    for back in range(5, 0, -1):
        scene.handle(window(ONSET_MS - back * 1_000, BROKEN if back == 1 else None))
    scene.handle(window(ONSET_MS, BROKEN, state=State.ANOMALY))
    scene.handle(opened(incident()))
    for later in range(1, 20):
        scene.handle(window(ONSET_MS + later * 1_000, BROKEN, state=State.CALM))
    view = scene.view()
    assert view.usual[INVALID].value == 10
    assert view.usual[CLICKS].high == 2_290
    assert view.open == 1


def test_windows_that_were_not_whole_say_nothing_about_what_is_usual() -> None:
    scene = Scene(lambda: ONSET_MS)
    scene.handle(window(ONSET_MS, whole=False))
    assert scene.view().usual == {}


def test_it_learns_until_a_series_has_limits() -> None:
    scene = Scene(lambda: ONSET_MS)
    assert scene.view().learning
    scene.handle(window(ONSET_MS, state=State.LEARNING))
    assert scene.view().learning
    scene.handle(window(ONSET_MS + 1_000))
    assert not scene.view().learning


def test_a_resolved_incident_is_no_longer_open() -> None:
    scene = Scene(lambda: ONSET_MS)
    scene.handle(opened(incident()))
    scene.handle(IncidentChanged("resolved", incident(resolved_ms=ONSET_MS + 20_000, revision=1)))
    view = scene.view()
    assert view.incident is None
    assert view.resolved is not None

"""Charts of incidents: which series, how they are scaled, what is in the picture, what they leave alone."""

from __future__ import annotations

import builtins
import io
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import msgspec
import numpy as np
import pytest
from matplotlib.image import imread

from swirl.charts import Picture, deployments, draw, telling
from swirl.charts.scale import Scale, number, scale_of, time_ticks, unit_of, usual_of
from swirl.charts.telling import usual_before
from swirl.effect import SeriesKey, State
from swirl.errors import MissingExtraError
from swirl.sinks.board import Board, Track, View
from tests.sinks.scene import DATA, DEPLOYMENT, START, changed, window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

INVALID = SeriesKey("ingest", "invalid")
POSITIVE = SeriesKey("classify", "prediction_ratio", "positive")
SHARE = SeriesKey("ingest", "invalid_ratio")
LIGHT, BAND, BAD, FOLLOWS, INK = (255, 255, 255), (230, 233, 236), (181, 54, 10), (124, 83, 0), (23, 25, 28)
DARK, DARK_BAND, DARK_BAD = (22, 25, 28), (43, 49, 55), (255, 143, 102)


def view(*, fault: bool = True, windows: int = 70, after: str = "") -> View:
    """Healthy windows, the last ten of them with the made-up fault; ``after`` is the version since then."""
    board = Board()
    for index in range(windows):
        wrong = fault and index >= windows - 10
        now = {SHARE: 0.8, POSITIVE: 0.21} if wrong else {}
        version = after if wrong and after else "2026.11.1"
        versions = {"ingest": ("2026.11.1",), "classify": (version,)}
        board.handle(window(index - windows + 10, now=now, versions=versions))
    if fault:
        board.handle(changed(DEPLOYMENT if after else DATA))
    found = board.view("ads")
    assert found is not None
    return found


def pixels(png: bytes) -> NDArray[np.int64]:
    image = imread(io.BytesIO(png))
    return np.asarray(np.rint(image[:, :, :3] * 255), np.int64)


def share(image: NDArray[np.int64], colour: tuple[int, int, int]) -> float:
    """Of the picture that has a colour."""
    return float((image == np.array(colour)).all(axis=2).mean())


def track(values: list[float], key: SeriesKey = INVALID, low: float = 2.0, high: float = 22.0) -> Track:
    n = len(values)
    starts = START - 1000 * n + 1000 * np.arange(n, dtype=np.int64)
    expected, lower, upper = (np.full(n, limit) for limit in ((low + high) / 2, low, high))
    normal = np.full(n, State.NORMAL, np.uint8)
    return Track(key, starts, np.array(values, np.float64), expected, lower, upper, normal, 1000)


# -- which series


def test_the_series_are_those_of_the_evidence_in_its_order() -> None:
    found = telling(DATA, view())
    assert [tuple(each.key) for each in found[:2]] == [tuple(SHARE), tuple(POSITIVE)]
    assert len(found) == 3
    assert len({each.key for each in found}) == 3


def test_evidence_that_is_no_series_is_shown_by_the_series_that_stands_for_it() -> None:
    piece = msgspec.structs.replace(DATA.evidence[0], metric="invalid", label="")
    found = telling(msgspec.structs.replace(DATA, evidence=(piece,)), view())
    assert (found[0].key, len(found)) == (INVALID, 3)
    piece = msgspec.structs.replace(DATA.evidence[0], metric="emitters")
    assert telling(msgspec.structs.replace(DATA, evidence=(piece,)), view())[0].key == (
        "ingest",
        "records",
        "",
    )


def test_without_an_incident_they_are_what_one_looks_at_first() -> None:
    found = telling(None, view(fault=False))
    assert [each.key.metric for each in found] == ["invalid", "prediction_ratio", "records"]
    assert {len(each.start_ms) for each in found} == {60}


def test_the_span_has_what_was_usual_before_and_a_while_after_the_end() -> None:
    (shown, *_) = telling(DATA, view(windows=300))
    assert (shown.start_ms < DATA.onset_ms).sum() == 51
    over = msgspec.structs.replace(DATA, state="resolved", resolved_ms=DATA.onset_ms + 3000)
    (shown, *_) = telling(over, view(windows=300))
    assert (shown.start_ms >= over.resolved_ms).sum() == 6


def test_a_pipeline_without_windows_tells_nothing() -> None:
    assert telling(DATA, View("ads", (), view().verdict, (), (), ())) == []
    assert draw(DATA, [])[:4] == b"\x89PNG"


def test_a_deployment_is_where_another_version_does_most_of_the_work() -> None:
    (found,) = deployments(view(after="2026.11.2"))
    assert (found.at_ms, found.stage, found.version) == (START, "classify", "2026.11.2")
    assert deployments(view()) == []


def test_what_is_usual_comes_from_before_the_fault() -> None:
    found = usual_before(telling(DATA, view())[1], DATA.onset_ms)
    assert (found.low, found.high, found.level) == (0.77, 0.83, 0.8)
    learning = track([1.0, 2.0])._replace(state=np.full(2, State.LEARNING, np.uint8))
    assert math.isnan(usual_before(learning, None).high)


# -- scales and numbers


def test_values_carry_the_units_of_the_face() -> None:
    told = [("invalid", 20_134.0), ("invalid_ratio", 0.0004), ("latency_p95", 0.012), ("drift", 0.26)]
    assert [number(*pair) for pair in told] == ["20 100/s", "0.0004", "12 ms", "0.3"]
    assert number("records", math.nan) == "–"
    assert unit_of("count") == "rate"
    assert usual_of("latency_p95", 0.009, 0.017, 0.012) == "usual 9.0–17 ms"
    assert usual_of("latency_p95", 0.0009, 0.0017, 0.0012) == "usual 900 us–1.7 ms"
    assert usual_of("records", 5.0, math.nan, math.nan) == "alarm below 5"
    assert usual_of("records", 1.0, 400.0, 4.0) == "usual 4/s, alarm above 400"
    assert usual_of("ratio", 0.5, 2.0, 1.0) == "usual 0.50–2.00"


def test_ratios_run_from_0_to_1_and_rates_from_0() -> None:
    scale = scale_of(track([0.8, 0.2], POSITIVE, 0.77, 0.83), 0.8, 0.77)
    assert (scale.floor, scale.top, scale.log) == (0.0, 1.0, False)
    scale = scale_of(track([10.0, 18.0]), 10.0, 2.0)
    assert (scale.floor, scale.log, scale.unit) == (0.0, False, "records/s")
    assert scale.top >= 22.0
    assert scale.ticks[0].label == "0"


def test_small_ratios_are_shown_large_enough_to_be_seen() -> None:
    assert scale_of(track([0.001, 0.004], SHARE, 0.0, 0.002), 0.001, 0.0).top < 0.01


def test_a_view_that_spans_more_than_fifty_times_the_usual_is_logarithmic_and_says_so() -> None:
    scale = scale_of(track([10.0, 10.0, 20_000.0]), 10.0, 2.0)
    assert (scale.log, scale.unit) == (True, "records/s, log")
    assert scale.place(np.array([scale.floor, scale.top, 0.0, 1e9])).tolist() == [0.0, 1.0, 0.0, 1.0]
    assert {tick.label for tick in scale.ticks} <= {"1", "10", "100", "1k", "10k"}
    assert not scale_of(track([2000.0, 2000.0, 10.0]), 2000.0, 1720.0).log


def test_ticks_are_few_round_and_short() -> None:
    for top in (0.003, 0.7, 1.0, 9.0, 37.0, 412.0, 25_000.0, 3.2e6, 7e9):
        series = track([top * 0.5, top], SeriesKey("a", "drift", "x"), math.nan, math.nan)
        ticks = scale_of(series, top / 2, math.nan).ticks
        assert 2 <= len(ticks) <= 4
        assert all(len(tick.label) <= 6 for tick in ticks)
    for seconds in (20, 90, 300, 3600, 86_400, 40 * 86_400):
        assert 2 <= len(time_ticks(START, START + 1000 * seconds)) <= 6


def test_what_is_constant_negative_or_not_known_has_a_scale_too() -> None:
    for values in ([0.0, 0.0], [-5.0, -3.0], [math.nan, math.nan], [1e300, 1e300], [1e-300, 1e-300], []):
        scale = scale_of(track(values, low=math.nan, high=math.nan), math.nan, math.nan)
        assert isinstance(scale, Scale)
        assert scale.top > scale.floor


# -- the picture


def test_a_healthy_picture_has_bands_and_no_colour() -> None:
    image = pixels(Picture.of(view(fault=False)).png)
    assert image.shape[1] == 720
    assert share(image, BAND) > 0.02
    assert share(image, BAD) == share(image, FOLLOWS) == 0.0


def test_a_fault_colours_the_root_and_what_follows_from_it() -> None:
    image = pixels(Picture.of(view()).png)
    third = image.shape[0] // 3
    assert share(image, BAD) > 0.0005
    assert share(image, FOLLOWS) > 0.0003
    assert share(image[: third - 20], FOLLOWS) == 0.0
    assert share(image[third + 40 :], BAD) == 0.0


def test_dark_has_colours_of_its_own() -> None:
    image = pixels(Picture.of(view(), dark=True).png)
    assert share(image, DARK) > 0.5
    assert share(image, DARK_BAND) > 0.02
    assert share(image, DARK_BAD) > 0.0005
    assert share(image, LIGHT) == 0.0


def test_a_point_outside_the_grey_band_is_drawn_outside_of_it() -> None:
    """The band is the limits at each point: what is inside them is on grey, what is outside is not."""
    inside, outside = (draw(None, [track([10.0] * 20 + [last] + [10.0] * 20)]) for last in (21.0, 60.0))
    dotted = [share(pixels(png), (77, 83, 88)) for png in (inside, outside)]
    assert dotted[1] > dotted[0] * 1.02


def test_labels_of_predictions_are_left_out_unless_they_are_allowed() -> None:
    shown = telling(DATA, view())[1]
    renamed = [shown._replace(key=POSITIVE._replace(label=label)) for label in ("positive", "secret")]
    hidden = [draw(None, [each]) for each in renamed]
    assert hidden[0] == hidden[1]
    assert draw(None, renamed[:1], show_labels=True) != draw(None, renamed[1:], show_labels=True)


def test_any_width_and_any_name_can_be_drawn(recwarn: pytest.WarningsRecorder) -> None:
    strange = SeriesKey("取り込み\n$\\frac{a}$\x1b[31m", "drift", "x" * 500)
    for width in (1, 375, 10_000):
        image = pixels(draw(DATA, [track([1.0, 5.0, math.nan, 40.0], strange)], width=width, title="$^" * 99))
        assert 480 <= image.shape[1] <= 4000
    assert list(recwarn) == []


def test_gaps_infinities_and_single_windows_can_be_drawn() -> None:
    for values in ([math.nan] * 5, [1.0], [math.nan, 1.0, math.nan], [math.inf, 1.0], [-math.inf, 2.0]):
        for limit in (math.nan, math.inf, 5.0):
            one = track(values, low=math.nan, high=limit)
            assert draw(DATA, [one, one])[:4] == b"\x89PNG"


def test_the_same_series_give_the_same_picture_in_any_thread() -> None:
    tracks, went_out = telling(DATA, view()), deployments(view(after="2"))
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: draw(DATA, tracks, deployments=went_out), range(16)))
    assert len(set(drawn)) == 1


def test_the_hosts_own_settings_of_matplotlib_neither_matter_nor_change() -> None:
    tracks = telling(DATA, view())
    plain = draw(DATA, tracks)
    before = dict(mpl.rcParams)
    with mpl.rc_context(
        {"text.usetex": True, "lines.marker": "o", "font.size": 40, "figure.facecolor": "red"}
    ):
        assert draw(DATA, tracks) == plain
    assert dict(mpl.rcParams) == before


def test_neither_pyplot_nor_a_window_is_loaded() -> None:
    code = (
        "import sys; from tests.sinks.scene import DATA; from swirl.charts import draw; draw(DATA, []); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_notebook_shows_a_picture_and_a_file_keeps_it(tmp_path: Path) -> None:
    picture = Picture.of(view(), DATA)
    assert picture._repr_png_() == picture.png
    picture.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == picture.png


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *given: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(name, name=name)
        return real(name, *given, **named)

    monkeypatch.delitem(sys.modules, "swirl.charts.canvas")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"matplotlib .*swirl-monitor\[charts\]"):
        draw(DATA, [])

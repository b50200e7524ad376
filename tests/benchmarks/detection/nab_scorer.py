"""The score of the Numenta Anomaly Benchmark (Lavin, Ahmad 2015, sec. II), written anew.

A detector gives each point a score; one threshold for all series makes detections of them. Of each labelled
window the earliest detection counts, worth the more the earlier it is; a window without one costs, and so
does each detection outside, the less the closer it follows a window. The first 15 % of a series, 750 points
at most, are not judged. The sum is put on a scale on which a detector that never speaks has 0 and a perfect
one 100.
"""

from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["PROFILES", "Curve", "Profile", "Result", "Series", "curve", "folder", "judge", "load", "reward"]

MISSING = "NAB is missing: set SWIRL_NAB to a folder with data/ and labels/ of https://github.com/numenta/NAB"
_JUDGED_FROM = 0.15
_LATEST = 0.15 * 5000


class Profile(NamedTuple):
    """What a detection in a window is worth, and what a missed window and a false detection cost."""

    hit: float
    missed: float
    false: float


PROFILES = {
    "standard": Profile(1.0, 1.0, 0.11),
    "low FP": Profile(1.0, 1.0, 0.22),
    "low FN": Profile(1.0, 2.0, 0.11),
}


@dataclass(frozen=True)
class Series:
    """One file of the corpus.

    Attributes:
        name: category and file.
        start_ms: event time of each point.
        value: what was measured.
        windows: first and last point of each labelled window, in order.
    """

    name: str
    start_ms: NDArray[np.int64]
    value: Array
    windows: tuple[tuple[int, int], ...]

    @property
    def category(self) -> str:
        """The folder of the file."""
        return self.name.split("/", maxsplit=1)[0]

    @property
    def judged_from(self) -> int:
        """The first point that counts."""
        return math.ceil(min(math.floor(_JUDGED_FROM * len(self.value)), _LATEST))


def folder() -> Path | None:
    """Where the corpus lies: ``SWIRL_NAB``, or beside the checkout; None where there is none."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data" / "nab"
    found = Path(os.environ.get("SWIRL_NAB", beside))
    return found if (found / "labels" / "combined_windows.json").is_file() else None


def load(root: Path) -> list[Series]:
    """All series that have labels, by name."""
    labels = json.loads((root / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    return [_read(root / "data" / name, name, labels[name]) for name in sorted(labels)]


def _read(path: Path, name: str, windows: Sequence[tuple[str, str]]) -> Series:
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    start_ms = np.array([_ms(line["timestamp"]) for line in lines])
    first = {int(ms): at for at, ms in reversed(list(enumerate(start_ms.tolist())))}
    spans = tuple((first[_ms(left)], first[_ms(right)]) for left, right in windows)
    return Series(name, start_ms, np.array([float(line["value"]) for line in lines]), spans)


def _ms(stamp: str) -> int:
    return int(np.datetime64(stamp, "ms").astype(np.int64))


def reward(position: Array | float) -> Array:
    """NAB's sigmoid: what a detection is worth; -1 the start of a window, 0 its end, 1 as far behind.

    Example:
        >>> reward(np.array([-1.0, 0.0, 1.0, 4.0])).round(3)
        array([ 0.987,  0.   , -0.987, -1.   ])
    """
    at = np.asarray(position, dtype=np.float64)
    return np.where(at > 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(at, 3.0))) - 1)


class Curve(NamedTuple):
    """What a threshold that is lowered gains, over several series.

    Attributes:
        threshold: falling.
        hits: sum of the worth of the earliest detections in windows, at this threshold.
        found: windows with a detection.
        false: sum of the cost of detections outside, negative.
        judged, windows: labelled windows with a judged point, and all.
    """

    threshold: Array
    hits: Array
    found: Array
    false: Array
    judged: int
    windows: int

    def raw(self, profile: Profile) -> Array:
        """Raw score at each threshold."""
        missed = self.judged - self.found
        return profile.hit * self.hits - profile.missed * missed + profile.false * self.false

    def at(self, threshold: float, profile: Profile) -> float:
        """Raw score at one threshold: what lies at it or above is a detection."""
        place = int(np.searchsorted(-self.threshold, -threshold, side="right")) - 1
        return float(self.raw(profile)[place]) if place >= 0 else -profile.missed * self.judged

    def best(self, profile: Profile) -> float:
        """The threshold with the highest raw score, as NAB chooses it; infinite where silence is best."""
        raw = self.raw(profile)
        if not raw.size or raw.max() < -profile.missed * self.judged:
            return math.inf
        return float(self.threshold[int(raw.argmax())])

    def normal(self, raw: float, profile: Profile) -> float:
        """A raw score on the scale from 0, silence, to 100, perfect."""
        silent = -profile.missed * self.judged
        return 100 * (raw - silent) / (profile.hit * self.windows - silent)


class Result(NamedTuple):
    """Score and the threshold that it was had with."""

    score: float
    threshold: float


def curve(series: Sequence[Series], scores: Mapping[str, Array]) -> Curve:
    """All thresholds at once.

    Args:
        series: to be judged together.
        scores: of each point, by name of the series.

    Raises:
        ValueError: not a finite score for each point.
    """
    rows: list[Array] = []
    judged = 0
    for one in series:
        score = np.asarray(scores[one.name], dtype=np.float64)
        if score.shape != one.value.shape or not np.isfinite(score).all():
            raise ValueError(
                f"{one.name}: {score.shape} scores for {one.value.shape} points, or not all finite"
            )
        parts = _steps(one, score)
        judged += len(parts) - 1
        rows += parts
    score, hits, found, false = np.concatenate(rows, axis=1)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)[: len(order)]
    hits, found, false = (np.cumsum(part[order])[last] for part in (hits, found, false))
    return Curve(score[order][last], hits, found, false, judged, sum(len(one.windows) for one in series))


def _steps(series: Series, score: Array) -> list[Array]:
    """What each point adds once the threshold falls to it: rows of score, hits, found, false.

    Points outside come first, then one part for each window.
    """
    at = np.arange(len(score))
    judged = at >= series.judged_from
    outside = judged.copy()
    cost = np.full(len(score), -1.0)
    parts = []
    for left, right in series.windows:
        outside[left : right + 1] = False
        cost[right + 1 :] = reward((at[right + 1 :] - right) / (right - left))
        inside = at[left : right + 1][judged[left : right + 1]]
        if inside.size:
            worth = reward(-(right - inside + 1) / (right - left + 1)) / reward(-1.0)
            inside = inside[np.argsort(-score[inside], kind="stable")]
            best = np.maximum.accumulate(worth[inside - (right - len(worth) + 1)])
            gain = np.diff(best, prepend=0.0)
            zero = np.zeros(len(inside))
            parts.append(np.stack((score[inside], gain, np.eye(1, len(inside))[0], zero)))
    zero = np.zeros(int(outside.sum()))
    return [np.stack((score[outside], zero, zero, cost[outside])), *parts]


def judge(
    series: Sequence[Series], scores: Mapping[str, Array], threshold: float | None = None
) -> dict[str, Result]:
    """The score in each profile.

    Args:
        series: to be judged together.
        scores: of each point, by name of the series; higher is more anomalous.
        threshold: one for all; None: NAB's choice, the best for each profile.

    Example:
        >>> one = Series("a/b.csv", np.arange(100), np.zeros(100), ((40, 49),))
        >>> perfect, late = np.zeros(100), np.zeros(100)
        >>> perfect[40], late[[49, 60]] = 1.0, 1.0
        >>> [round(judge([one], {"a/b.csv": s})["standard"].score) for s in (np.zeros(100), perfect, late)]
        [0, 100, 57]
    """
    found = curve(series, scores)
    results = {}
    for name, profile in PROFILES.items():
        chosen = found.best(profile) if threshold is None else threshold
        results[name] = Result(found.normal(found.at(chosen, profile), profile), chosen)
    return results

"""Novelty on half of the Numenta Anomaly Benchmark, beside what needs no model at all.

Every detector sees each series point by point and knows neither its length nor what comes; one set of
parameters holds for all series. The novelty detector is the bank that the monitor runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points
from swirl_detectors.novelty import NoveltyDetector
from tests.benchmarks.detection.nab_scorer import MISSING, PROFILES, curve, folder, judge, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.detection.nab_scorer import Array, Series

__all__ = ["novelty", "section"]

THRESHOLD = 3.0
"""Nats from which on the novelty detector speaks: one number for all series."""
_HOUR_MS = 3_600_000
_QUICK = 8_000
"""Points of a short run: whole series, one of each category as long as there is room."""


def novelty(series: Series, threshold: float | None = THRESHOLD) -> Array:
    """The evidence of each alarm of a :class:`NoveltyBank`, in nats; 0 where there is none.

    Args:
        series: judged alone, as levels.
        threshold: in nats; None: by a budget of one false alarm a week, evidence as a share of the threshold.
    """
    bank = NoveltyDetector(threshold=threshold).build(Kind.LEVEL)
    bank.grow(1)
    row, one = np.arange(1), np.ones(1)
    window_ms = int(series.start_ms[1] - series.start_ms[0])
    scores, hour = np.zeros(len(series.value)), None
    for at, start_ms in enumerate(series.start_ms.tolist()):
        if threshold is None and start_ms // _HOUR_MS != hour:
            hour = start_ms // _HOUR_MS
            bank.refresh(alarms_per_window(1.0, 1, window_ms))
        points = Points(start_ms, window_ms, series.value[at : at + 1], one)
        found = bank.score(row, points)
        bank.learn(row, points)
        scores[at] = found.evidence[0] * (threshold or 1.0) if found.alarm[0] else 0.0
    return scores


def _range_record(series: Series) -> Array:
    """How far beyond the lowest and highest value so far, as a share of the range; silent up to 1 %."""
    value = series.value
    low, high = np.minimum.accumulate(value)[:-1], np.maximum.accumulate(value)[:-1]
    beyond = np.maximum(np.maximum(value[1:] - high, low - value[1:]), 0.0)
    share = beyond / np.where(high > low, high - low, np.inf)
    return np.concatenate(([0.0], np.where(share > 0.01, share, 0.0)))


def _ewma(series: Series) -> Array:
    """Deviation from a running mean in running standard deviations, both of weight 0.01."""
    mean, variance = float(series.value[0]), 0.0
    scores = np.zeros(len(series.value))
    for at, value in enumerate(series.value.tolist()):
        off = value - mean
        scores[at] = abs(off) / np.sqrt(variance) if variance > 0 and at > 60 else 0.0
        mean += 0.01 * off
        variance = 0.99 * (variance + 0.01 * off * off)
    return _cooled(np.where(scores >= 3, scores, 0.0))


def _cooled(scores: Array) -> Array:
    """Silent after a detection for as long as the novelty detector is."""
    kept, last = np.zeros(len(scores)), -np.inf
    for at in np.flatnonzero(scores > 0).tolist():
        if at - last > min(0.05 * at, 250.0):
            kept[at], last = scores[at], at
    return kept


def _random(series: Series) -> Array:
    """A score drawn for each point, regardless of its value; silent as the others are."""
    rng = np.random.default_rng([len(series.name), *series.name.encode()])
    draws = rng.random(len(series.value))
    return _cooled(np.where(draws > 0.99, draws, 0.0))


def _nothing(series: Series) -> Array:
    return np.zeros(len(series.value))


_DETECTORS: dict[str, tuple[Callable[[Series], Array], float]] = {
    "spacing novelty, four views": (novelty, THRESHOLD),
    "the same under a budget, one false alarm a week and series": (lambda s: novelty(s, None), 1.0),
    "range record": (_range_record, 0.01),
    "EWMA z-score, quiet after an alarm": (_ewma, 3.0),
    "random times, quiet after an alarm": (_random, 0.99),
    "null": (_nothing, 1.0),
}
"""Name, detector, and the fixed threshold of one row each."""


_ABOUT = """\
{} series of NAB v1.1, {:,} points, {} labelled windows, scored by its own rules (0: silence, 100: perfect).
Strictly causal, one set of parameters for all series. Limit, with NAB's choice of threshold: 76 standard,
68.5 low FP, 81 low FN. The other half of the corpus is kept aside. Every detector but the range record is
quiet after an alarm for 5 % of the points seen, 250 at most.
"""


def _rows(corpus: Sequence[Series], all_scores: dict[str, dict[str, Array]]) -> Iterator[str]:
    for name, (_, fixed) in _DETECTORS.items():
        scores = all_scores[name]
        chosen, plain = judge(corpus, scores), judge(corpus, scores, fixed)
        cells = [f"{chosen[p].score:.1f}" for p in PROFILES] + [f"{plain[p].score:.1f}" for p in PROFILES]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _across(corpus: Sequence[Series], scores: dict[str, Array]) -> list[float]:
    """The score when each category is judged at the threshold that is best for all others."""
    found = []
    for profile in PROFILES.values():
        raw = silent = 0.0
        for category in sorted({one.category for one in corpus}):
            inside = [one for one in corpus if one.category == category]
            others = [one for one in corpus if one.category != category]
            part = curve(inside, scores)
            raw += part.at(curve(others, scores).best(profile) if others else np.inf, profile)
            silent -= profile.missed * part.judged
        windows = sum(len(one.windows) for one in corpus)
        found.append(100 * (raw - silent) / (profile.hit * windows - silent))
    return found


def _missed(corpus: Sequence[Series], scores: dict[str, Array]) -> str:
    """Windows without a detection and false detections, at the fixed threshold."""
    missed, false = [], {}
    for one in corpus:
        at = np.flatnonzero(scores[one.name] >= THRESHOLD)
        at = at[at >= one.judged_from]
        inside = np.zeros(len(at), dtype=np.bool_)
        for number, (left, right) in enumerate(one.windows, 1):
            hit = (at >= left) & (at <= right)
            inside |= hit
            if not hit.any():
                missed.append(f"{one.name} ({number} of {len(one.windows)})")
        false[one.name] = int((~inside).sum())
    worst = sorted(false, key=lambda name: (-false[name], name))[:3]
    noisy = ", ".join(f"{name} ({false[name]})" for name in worst)
    windows = sum(len(one.windows) for one in corpus)
    told = (
        f"At {THRESHOLD:g} nats {len(missed)} of {windows} windows are missed: {', '.join(missed) or 'none'}."
    )
    return f"{told} Of {sum(false.values())} false detections most are in {noisy}."


def _few(corpus: list[Series]) -> list[Series]:
    """The shortest labelled series of each category, while there is room."""
    chosen: dict[str, Series] = {}
    for one in sorted(corpus, key=lambda s: len(s.value)):
        if one.windows:
            chosen.setdefault(one.category, one)
    kept, points = [], 0
    for one in sorted(chosen.values(), key=lambda s: len(s.value)):
        points += len(one.value)
        if points <= _QUICK:
            kept.append(one)
    return kept


def section(*, quick: bool = False) -> str:
    """The part of ``docs/detection.md``: scores of half of the corpus."""
    title = "## Level and pattern anomalies: the Numenta Anomaly Benchmark\n\n"
    root = folder()
    if root is None:
        return title + f"{MISSING}.\n"
    corpus = load(root)
    corpus = _few(corpus) if quick else corpus
    all_scores = {
        name: {one.name: detector(one) for one in corpus} for name, (detector, _) in _DETECTORS.items()
    }
    ours = all_scores["spacing novelty, four views"]
    points, windows = sum(len(one.value) for one in corpus), sum(len(one.windows) for one in corpus)
    lines = [
        _ABOUT.format(len(corpus), points, windows),
        "| detector | standard | low FP | low FN | at one fixed threshold: standard | low FP | low FN |",
        "|---|---|---|---|---|---|---|",
        *_rows(corpus, all_scores),
        "",
        "With each category judged at the threshold that is best for all others: "
        + ", ".join(
            f"{name} {score:.1f}" for name, score in zip(PROFILES, _across(corpus, ours), strict=True)
        )
        + ".",
        "",
        _missed(corpus, ours),
    ]
    return title + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(section(quick="--quick" in sys.argv))

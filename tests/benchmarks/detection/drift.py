"""Drift: what chance does to the statistics, what they see, how slow poison and given baselines fare."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points
from swirl.drift import CELL_STATISTICS, kolmogorov_smirnov, psi
from swirl.sketch import Distribution
from swirl_detectors.change import ChangeBank
from swirl_detectors.drift import FLOORS, DriftBank, DriftDetector
from swirl_detectors.drift_series import Series, Settling
from swirl_detectors.samples import Sample, merged

__all__ = ["section"]

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], Array]

SIZES = (50, 200, 1_000, 10_000, 500_000)
CLUSTERS = (1, 3, 10)
SHARES = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01])
FRAMES = 60
"""Frames that a window is merged from, as on the wire."""
SETTLING = Settling(5, 50, 20_000, 86_400_000)
LEAST = 200
BEFORE = 60
"""Windows that are learnt from before the first is counted."""
MINUTE = 60_000

NUMBERS: dict[str, Draw] = {
    "log-normal": lambda rng, n, shift: rng.lognormal(shift, 1.0, n),
    "normal on a grid of 0.1": lambda rng, n, shift: np.round(rng.normal(shift, 1.0, n), 1),
}


def digest(values: Array) -> Distribution:
    """What reaches the monitor of a window: digests of frames, merged."""
    whole = Distribution()
    for part in np.array_split(values, min(FRAMES, max(1, len(values) // 5))):
        frame = Distribution()
        frame.update(part)
        whole.merge(frame)
    return whole


def numbers(rng: np.random.Generator, draw: Draw, n: int, cluster: int, shift: float = 0.0) -> Array:
    """Rows of one window, alike in clusters."""
    return np.repeat(draw(rng, -(-n // cluster), shift), cluster)[:n]


def labels(rng: np.random.Generator, n: int, cluster: int, tilt: float = 0.0) -> dict[str, int]:
    """Labels of one window, alike in clusters."""
    shares = SHARES * (1 + tilt * np.array([1, -1, 1, -1, 1, -1, 1, -1]))
    counts = rng.multinomial(n // cluster, shares / shares.sum()) * cluster
    return dict(zip("abcdefgh", counts.tolist(), strict=True))


def windows(rng: np.random.Generator, data: str, n: int, cluster: int, count: int) -> Iterator[Sample]:
    """Windows without drift, those that are too small merged until they say something."""
    together = -(-LEAST // n)
    for _ in range(count):
        whole: Sample | None = None
        for _ in range(together):
            if data == "labels":
                one: Sample = labels(rng, n, cluster)
            else:
                one = digest(numbers(rng, NUMBERS[data], n, cluster))
            whole = one if whole is None else merged(whole, one)
        assert whole is not None
        yield whole


@dataclass(frozen=True)
class Rejections:
    """Of windows without drift, at nominal 5 % and 1 %: by the null law alone, and as judged."""

    bare: tuple[float, float]
    judged: tuple[float, float]
    windows: int


NOMINAL = (0.05, 0.01)
_LIMITS = np.asarray(stats.norm.isf(NOMINAL))


def _shares(z: Array) -> tuple[float, float]:
    return float((z > _LIMITS[0]).mean()), float((z > _LIMITS[1]).mean())


def statistics(data: str) -> tuple[str, ...]:
    """Those that judge data of a sort."""
    return CELL_STATISTICS if data == "labels" else tuple(FLOORS)


def rejections(data: str, n: int, cluster: int, series: int, judged: int) -> dict[str, Rejections]:
    """Statistic -> rejections without drift, one step ahead on the first day of several series."""
    names = statistics(data)
    bare = {name: np.empty((series, judged)) for name in names}
    learnt = {name: np.full((series, BEFORE + judged), np.nan) for name in names}
    for number in range(series):
        rng = np.random.default_rng([1, number, n, cluster])
        rows = {name: Series() for name in names}
        for at, sample in enumerate(windows(rng, data, n, cluster, BEFORE + judged)):
            for name, row in rows.items():
                found = row.judge(sample, name, SETTLING.begin)
                row.learn(sample, found, name, SETTLING, at * MINUTE)
                if found is not None:
                    learnt[name][number, at] = found.z
                    bare[name][number, at - BEFORE] = found.distance.law.deviate(found.distance.squared)
    return {
        name: Rejections(_shares(bare[name]), _shares(whitened(learnt[name])[:, BEFORE:]), series * judged)
        for name in names
    }


def whitened(z: Array) -> Array:
    """What the change detector makes of deviates: level, spread and memory learnt as they go."""
    bank = ChangeBank(Kind.LEVEL, sides="up", known_law=True)
    bank.grow(len(z))
    every, ones = np.arange(len(z)), np.ones(len(z))
    found = np.full(z.shape, np.nan)
    for at in range(z.shape[1]):
        points = Points(at * MINUTE, MINUTE, z[:, at], ones)
        bank.score(every, points)
        step = bank._pages[0]._step
        if step is not None:
            found[:, at] = step.z
        bank.learn(every, points)
    return found


SHIFTS = (2.5, 3.25, 4.0, 5.0)
"""Times the standard error of a window's mean."""
TILTS = (2.5, 3.5, 4.5)
_RAW = 200_000
_MANY = 10_000


@dataclass(frozen=True)
class Power:
    """Of independent rows, at nominal 5 %: the exact test on the rows, and the detector's statistic."""

    exact: float
    judged: float


class Exact:
    """Tests on raw rows against all rows of the baseline."""

    def __init__(self, data: str, n: int, healthy: list[Array]) -> None:
        self._labels = data == "labels"
        self._base = np.sort(np.concatenate(healthy))
        self._many = n > _MANY
        self._edges = np.unique(np.quantile(self._base, np.arange(1, 10) / 10)) + 1e-9
        self._cells = self._counts(self._base)
        self._sorted = self._base[:: max(1, len(self._base) // _RAW)]
        self._with_area = n <= _MANY and not self._labels
        if self._with_area:
            self._area = float(np.quantile([self._distance(x) for x in healthy], 0.95))

    def _counts(self, x: Array) -> Array:
        if self._labels:
            return np.bincount(x.astype(np.intp), minlength=len(SHARES)).astype(float)
        return np.bincount(np.searchsorted(self._edges, x), minlength=len(self._edges) + 1).astype(float)

    def _distance(self, x: Array) -> float:
        return float(stats.wasserstein_distance(x, self._sorted))

    def rejects(self, statistic: str, x: Array) -> bool:
        """Whether the test that belongs to a statistic rejects rows at 5 %."""
        if statistic == "ks" and self._many:
            # Beside so many rows the baseline is as good as the law that it was drawn from.
            return bool(stats.ks_1samp(x, stats.lognorm(1.0).cdf, method="asymp").pvalue < NOMINAL[0])
        if statistic == "ks":
            return bool(stats.ks_2samp(x, self._base, method="asymp").pvalue < NOMINAL[0])
        if statistic == "wasserstein":
            return self._with_area and self._distance(x) > self._area
        table = np.array([self._cells, self._counts(x)])
        return bool(
            stats.chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False).pvalue < NOMINAL[0]
        )


def _rows(rng: np.random.Generator, data: str, n: int, moved: float) -> Array:
    if data != "labels":
        return numbers(rng, NUMBERS[data], n, 1, moved)
    return np.repeat(np.arange(len(SHARES)), list(labels(rng, n, 1, moved).values())).astype(float)


def _sample(data: str, rows: Array) -> Sample:
    if data != "labels":
        return digest(rows)
    return dict(zip("abcdefgh", np.bincount(rows.astype(np.intp), minlength=8).tolist(), strict=True))


def powers(data: str, n: int, windows: int) -> dict[str, Power]:
    """Statistic -> power at a shift where the exact test has one between 0.5 and 0.9."""
    rng = np.random.default_rng([2, n])
    healthy = [_rows(rng, data, n, 0.0) for _ in range(max(BEFORE, windows // 2))]
    exact = Exact(data, n, healthy)
    learnt: dict[str, tuple[Series, float, float]] = {}
    for name in statistics(data):
        learnt[name] = _learnt(name, [_sample(data, rows) for rows in healthy])
    found: dict[str, Power] = {}
    for times in TILTS if data == "labels" else SHIFTS:
        if len(found) == len(learnt):
            break
        moved = [_rows(rng, data, n, times / np.sqrt(n)) for _ in range(windows)]
        samples = [_sample(data, rows) for rows in moved]
        for name, (row, level, spread) in learnt.items():
            share = float(np.mean([exact.rejects(name, x) for x in moved]))
            if 0.5 <= share <= 0.9 and name not in found:
                judged = [row.judge(sample, name, SETTLING.begin) for sample in samples]
                z = np.array([one.z for one in judged if one is not None])
                found[name] = Power(share, float(((z - level) / spread > _LIMITS[0]).mean()))
    return found


def _learnt(name: str, samples: list[Sample]) -> tuple[Series, float, float]:
    """A series that has seen healthy windows, and level and spread of its deviates."""
    row, z = Series(), []
    for at, sample in enumerate(samples):
        judged = row.judge(sample, name, SETTLING.begin)
        row.learn(sample, judged, name, SETTLING, at * MINUTE)
        if judged is not None and at >= BEFORE // 3:
            z.append(judged.z)
    return row, float(np.mean(z)), float(np.std(z))


ROWS = 10
TEN_MINUTES = 600_000
A_DAY = 144
_WEEKLY = 10.0
"""False alarms a week that ten rows may raise."""


def _mix(
    rng: np.random.Generator, at: int, *, rhythm: float, poison: float, alike: int = 1
) -> dict[str, int]:
    """A thousand labels at a time of day; ``poison`` is the share of "a" that became "b"."""
    swing = rhythm * np.sin(2 * np.pi * at / A_DAY)
    shares = SHARES * (1 + swing * np.array([1, -1, 0, 0, 1, -1, 0, 0]))
    moved = shares[0] * poison
    shares = shares + np.array([-moved, moved, 0, 0, 0, 0, 0, 0])
    counts = rng.multinomial(1000 // alike, shares / shares.sum()) * alike
    return dict(zip("abcdefgh", counts.tolist(), strict=True))


def _bank(detector: DriftDetector) -> DriftBank:
    bank = detector.build(Kind.DISTRIBUTION)
    bank.grow(ROWS)
    bank.refresh(alarms_per_window(_WEEKLY, ROWS, TEN_MINUTES))
    return bank


def _window(bank: DriftBank, at: int, samples: list[Sample]) -> NDArray[np.bool_]:
    """Judge and learn; true where an alarm was raised, which is taken for chance an hour later."""
    none, every = np.zeros(ROWS), np.arange(ROWS)
    points = Points(at * TEN_MINUTES, TEN_MINUTES, none, none, samples)
    scores = bank.score(every, points)
    bank.learn(every, points)
    if at % 6 == 5:
        bank.refresh(alarms_per_window(_WEEKLY, ROWS, TEN_MINUTES))
    return scores.alarm


def calm(detector: DriftDetector, days: int, rhythm: float, alike: int) -> float:
    """False alarms over those promised, without any drift, from the second day on."""
    rng, bank, alarms, released = np.random.default_rng([3, alike]), _bank(detector), 0, -np.ones(ROWS)
    for at in range(days * A_DAY):
        over = np.flatnonzero(released == at)
        bank.release(over, chance=True)
        alarm = _window(
            bank, at, [_mix(rng, at, rhythm=rhythm, poison=0.0, alike=alike) for _ in range(ROWS)]
        )
        bank.hold(np.flatnonzero(alarm))
        released[alarm] = at + 6
        alarms += int(alarm.sum()) if at >= A_DAY else 0
    return alarms / (_WEEKLY * (days - 1) / 7)


def poisoned(detector: DriftDetector, rhythm: float, days: int) -> Array:
    """Days of a slow poison until it is told, 1 % of "a" a day from the fourth day on; NaN: never."""
    rng, bank, found = np.random.default_rng(4), _bank(detector), np.full(ROWS, np.nan)
    for at in range((3 + days) * A_DAY):
        ago = at / A_DAY - 3
        poison = min(max(0.01 * ago, 0.0), 1.0)
        alarm = _window(bank, at, [_mix(rng, at, rhythm=rhythm, poison=poison) for _ in range(ROWS)])
        if ago > 0:
            found[alarm & np.isnan(found)] = ago
        else:
            bank.release(np.flatnonzero(alarm), chance=True)
    return found


def skewed(alike: int, poison: float, rounds: int) -> tuple[float, float]:
    """With a given baseline: share of rows that raise an alarm in 30 windows, and the median window."""
    first = []
    for number in range(rounds):
        rng, bank = np.random.default_rng([5, number, alike]), _bank(DriftDetector())
        for row in range(ROWS):
            bank.refer(row, dict(zip("abcdefgh", rng.multinomial(20_000, SHARES).tolist(), strict=True)))
        found = np.full(ROWS, np.nan)
        for at in range(30):
            seen: list[Sample] = [_mix(rng, 0, rhythm=0, poison=poison, alike=alike) for _ in range(ROWS)]
            alarm = _window(bank, at, seen)
            found[alarm & np.isnan(found)] = at + 1
        first.append(found)
    told = np.concatenate(first)
    share = float(np.isfinite(told).mean())
    return share, float(np.nanmedian(told)) if share > 0 else float("nan")


def habits(n: int, rounds: int) -> tuple[float, float]:
    """Share of windows without drift that habits call drift: PSI of 0.1, KS at 5 % with rows in threes."""
    rng = np.random.default_rng([6, n])
    base = digest(numbers(rng, NUMBERS["log-normal"], 50_000, 1))
    alone = [digest(numbers(rng, NUMBERS["log-normal"], n, 1)) for _ in range(rounds)]
    threes = [digest(numbers(rng, NUMBERS["log-normal"], n, 3)) for _ in range(rounds)]
    return (
        float(np.mean([psi(base, one).statistic >= 0.1 for one in alone])),
        float(np.mean([kolmogorov_smirnov(base, one).p_value < 0.05 for one in threes])),
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rejection_rows(data: str, *, quick: bool) -> Iterator[tuple[list[str], Array]]:
    """Lines of the table, and the highest ratios at 5 % and 1 % of each."""
    for n in (50, 1_000) if quick else SIZES:
        for cluster in (1, 10) if quick else CLUSTERS:
            series, judged = (3, 100) if quick else (2, 120) if n > 10_000 else (8, 150)
            found = rejections(data, n, cluster, series, judged)
            ratios = {name: np.array(one.judged) / NOMINAL for name, one in found.items()}
            cells = [
                f"{ratios[name][0]:.2f} / {ratios[name][1]:.2f}" if name in ratios else "" for name in FLOORS
            ]
            bare = found["psi"].bare[0] / NOMINAL[0]
            line = [data, str(n), str(cluster), str(series * judged), *cells, f"{bare:.1f}"]
            yield line, np.max(list(ratios.values()), axis=0)


def _rejection_part(*, quick: bool) -> str:
    lines = [line for data in (*NUMBERS, "labels") for line in _rejection_rows(data, quick=quick)]
    worst = np.max([highest for _, highest in lines], axis=0)
    head = ["data", "rows", "alike", "windows", *FLOORS, "psi, law for independent rows"]
    return (
        _paragraphs(
            "Rejections without drift over nominal, at 5 % / at 1 %; the limit is 1.5. Of 1 200 windows, 1.0",
            "is uncertain by 0.13 at 5 % and by 0.29 at 1 %; of 240 by 0.28 and 0.64. Windows below 200 rows",
            "are merged. The last column is what the null law alone rejects at 5 %.",
            table=_table(head, [line for line, _ in lines]),
        )
        + f"\n\nThe highest at 5 %: {worst[0]:.2f}, at 1 %: {worst[1]:.2f}."
    )


def _power_part(*, quick: bool) -> str:
    rows = []
    for data in (*NUMBERS, "labels"):
        for n in (200, 1_000) if quick else (200, 1_000, 10_000, 500_000):
            if n > 10_000 and data == "normal on a grid of 0.1":
                continue
            for name, power in powers(data, n, 60 if quick or n > 10_000 else 200).items():
                shares = [power.exact, power.judged, power.judged / power.exact]
                rows.append([data, str(n), name, *(f"{share:.2f}" for share in shares)])
    return _paragraphs(
        "Power at 5 % on independent rows, at the first of a few shifts where the exact test on the raw rows",
        "has one between 0.5 and 0.9 (scipy: ks_2samp, chi2_contingency over deciles or labels,",
        "wasserstein_distance with its simulated limit up to 10 000 rows). The ratio may be 0.8 at least.",
        table=_table(["data", "rows", "statistic", "exact test on the rows", "detector", "ratio"], rows),
    )


def _slow_part(*, quick: bool) -> str:
    days, rows = 8 if quick else 29, []
    endless = DriftDetector(settled_ms=1 << 60)
    for name, rhythm in (("none", 0.0), ("mix swings by 10 % a day", 0.1), ("by 30 %", 0.3)):
        alarms = " / ".join(f"{calm(DriftDetector(), days, rhythm, alike):.2f}" for alike in (1, 10))
        told = [poisoned(detector, rhythm, 20 if quick else 40) for detector in (DriftDetector(), endless)]
        rows.append([name, alarms, *map(_when, told)])
    head = ["rhythm", "false alarms over promised, alike 1 / 10", "told after days", "baseline always learnt"]
    return _paragraphs(
        "A slow poison: 1 % of label a (share 0.3) becomes b each day, windows of ten minutes and 1 000",
        f"rows, {ROWS} series, {_WEEKLY:g} false alarms a week promised, {days - 1} days of calm counted.",
        table=_table(head, rows),
    )


def _when(told: Array) -> str:
    seen = told[np.isfinite(told)]
    return (f"{np.median(seen):.0f}, " if len(seen) else "") + f"never {len(told) - len(seen)} of {len(told)}"


def _reference_part(*, quick: bool) -> str:
    rows = []
    for poison in (0.0, 0.3, 0.6, 0.9):
        cells = [f"{poison:.0%}"]
        for alike in CLUSTERS:
            share, window = skewed(alike, poison, 2 if quick else 20)
            cells.append(f"{share:.3f}" + (f", window {window:.0f}" if share > 0.5 else ""))
        rows.append(cells)
    return _paragraphs(
        "A baseline that was given (20 000 rows), windows of 1 000 rows, another mix from the first window",
        "on: share of series told within 30 windows, and the median window.",
        table=_table(["of label a become b", *(f"alike {alike}" for alike in CLUSTERS)], rows),
    )


def _habit_part(*, quick: bool) -> str:
    found = [(n, *habits(n, 60 if quick else 300)) for n in (50, 200, 1_000)]
    return _paragraphs(
        "What habits call drift where there is none, as a share of windows.",
        table=_table(
            ["rows", "PSI of 0.1 and more", "KS below 5 %, rows in threes"],
            [[str(n), f"{share:.2f}", f"{ks:.2f}"] for n, share, ks in found],
        ),
    )


def _paragraphs(*lines: str, table: str = "") -> str:
    return " ".join(lines) + (f"\n\n{table}" if table else "")


PARTS = {
    "rejections": _rejection_part,
    "habits": _habit_part,
    "power": _power_part,
    "poison": _slow_part,
    "references": _reference_part,
}


def section(*, quick: bool = False) -> str:
    """The part of ``docs/detection.md`` on drift."""
    start = _paragraphs(
        "What chance alone does to each statistic once the detector has learnt how far windows of the series",
        "lie off, digests included (k = 100, 60 frames a window), one step ahead on the first day; then what",
        "it sees. Command: `python -m tests.benchmarks.detection.drift`.",
    )
    missed = _paragraphs(
        "Missed: at 500 000 rows digests of k = 100 err by as much as the rows do by chance, so shifts that",
        "only such a window could show (below 0.01 standard deviations) are seen less often than by the",
        "exact test; they are far below the floor of effect. There the statistics over cells of continuous",
        "numbers are rejected about 1.5 times as often as nominal at 5 %, and oftener at 1 %: errors of",
        "digests follow no chi-square law. Areas of a law with a long tail are rejected 1.8 times too often",
        "at 1 % where a window holds twenty independent values. A rhythm of the mix that is larger than a",
        "drift hides it.",
    )
    parts = (part(quick=quick) for part in PARTS.values())
    return "\n\n".join(("## Drift of distributions and categories", start, *parts, missed))


if __name__ == "__main__":
    chosen = [PARTS[name] for name in sys.argv[1:] if name in PARTS] or [section]
    for part in chosen:
        print(part(quick="--quick" in sys.argv), flush=True)

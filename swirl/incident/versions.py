"""Is a deployment to blame? The evidence that a new version of a stage makes the difference.

Two questions, both as ln Bayes factors: does the effect follow the share of the new version in time, and does
the new version differ from the old one inside the same windows, where everything else is equal?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from swirl.contrast import counts_of, mantel_haenszel
from swirl.effect import SeriesKey
from swirl.history import StageCounts
from swirl.incident.series import Level, Ratio, Tied
from swirl.residual import bounded, is_timed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from swirl.incident.residuals import Residuals
    from swirl.incident.series import Series

__all__ = ["Contrast", "Deployment", "VersionEvidence", "deployment_of", "version_evidence"]

TIMING = 3.0
"""ln 20: that a fault and a deployment coincide is never counted rarer than 1 in 20."""

SIDE_BY_SIDE = 6.0

_MOVED = 3.0
_RECENT = 40
"""A deployment earlier than so many windows before the onset is no suspect."""
_AWAY = 5
"""A version that comes back after so many windows is a deployment again: a rollback."""
_ONSET = 30


@dataclass(frozen=True)
class Deployment:
    """A version that arrived at a stage.

    Attributes:
        version: the new one.
        before: the one that did most of the work before.
        since: index of its first window.
        since_ms: start of that window.
        share: of the records by window that the new version took, shape ``(size,)``.
    """

    version: str
    before: str
    since: int
    since_ms: int
    share: NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """New against old in the same windows, on the metric that says most.

    Attributes:
        metric, label: what was compared.
        z: new against old.
        z_old: old against the baseline.
        new, old: the two values.
        explained: share of the effect that the version explains, in [0, 1].
        windows: how many windows had both.
    """

    metric: str
    label: str
    z: float
    z_old: float
    new: float
    old: float
    explained: float
    windows: int


@dataclass(frozen=True)
class VersionEvidence:
    """What speaks for and against a deployment, in nats.

    Attributes:
        deployment: the version that arrived.
        timing: how well the stage's own loudest metric follows the new version's share.
        side_by_side: what new against old in the same windows says.
        contrast: the comparison that it is from.
        below: how well the loudest metric of the stages below does, where the stage's own are quiet.
    """

    deployment: Deployment
    timing: float
    side_by_side: float
    contrast: Contrast | None
    below: float = 0.0

    @property
    def nats(self) -> float:
        """Both together."""
        return self.timing + self.side_by_side


def deployment_of(found: Residuals, stage: str) -> Deployment | None:
    """The newest version of a stage that arrived near the onset; None if none was seen to arrive.

    The first windows of a pipeline are no deployment, nor is a version that was away for a moment only.
    """
    if len({v for w in found.windows for v in w.stages.get(stage, ())}) < 2:
        return None
    present = [
        {v: c.records for v, c in w.stages.get(stage, {}).items() if c.records > 0} for w in found.windows
    ]
    worked = [i for i, versions in enumerate(present) if versions]
    arrived: tuple[int, str] | None = None
    last_seen: dict[str, int] = {}
    for order, index in enumerate(worked):
        for version in sorted(present[index]):
            back = order - last_seen.get(version, -_AWAY - 1)
            if order >= _AWAY and back > _AWAY:
                arrived = (index, version)
            last_seen[version] = order
    if arrived is None or arrived[0] < found.span.first - _RECENT:
        return None
    since, version = arrived
    earlier: dict[str, int] = {}
    for index in [i for i in worked if i < since][-_AWAY:]:
        for v, n in present[index].items():
            earlier[v] = earlier.get(v, 0) + n
    earlier.pop(version, None)
    if not earlier:
        return None
    before = max(sorted(earlier), key=lambda v: earlier[v])
    share = np.array([p.get(version, 0) / sum(p.values()) if p else 0.0 for p in present])
    share[:since] = 0.0
    return Deployment(version, before, since, found.windows[since].start_ms, share)


def version_evidence(found: Residuals, stage: str) -> VersionEvidence | None:
    """The case for a bad deployment of a stage; None if no version change was seen there."""
    deployment = deployment_of(found, stage)
    if deployment is None:
        return None
    contrasts = list(_contrasts(found, stage, deployment))
    contrast = max(contrasts, key=lambda c: max(abs(c.z), abs(c.z_old)), default=None)
    if contrast is not None and max(abs(contrast.z), abs(contrast.z_old)) < 2.5:
        contrast = None
    side = 0.0
    if contrast is not None:
        # The loudest of several has to pay for the choice: Bonferroni's correction to first order.
        choice = 2 * log(len(contrasts))
        differs, old_moved = (max(z * z - choice, 0.0) for z in (contrast.z, contrast.z_old))
        side = min(max((differs - old_moved) / 2, -SIDE_BY_SIDE), SIDE_BY_SIDE)
    own = _loudest(found, [stage], OWN)
    timing = _timing(found, own, deployment)
    # What a stage puts out may be worse in a way that only those see who take it.
    below = _loudest(found, found.graph.descendants[stage], _SEEN_BELOW) if own is None else None
    return VersionEvidence(deployment, timing, side, contrast, _timing(found, below, deployment))


OWN = ("invalid_ratio", "error_ratio", "output_ratio", "prediction_ratio", "latency_p50")
COMPARED = (*OWN, "ratio")
_SEEN_BELOW = ("ratio",)
_Pairs = list[tuple[list[StageCounts], StageCounts]]
_Read = Callable[[StageCounts], tuple[float, float]]


def _loudest(found: Residuals, stages: Iterable[str], metrics: Iterable[str]) -> Series | None:
    """The series of some stages that moved most; None where none did."""
    measured = [
        (abs(sigmas), series)
        for stage in stages
        for m in metrics
        if (series := found.series.get(SeriesKey(stage, m))) is not None
        and (sigmas := series.z()) is not None
    ]
    loudest, lead = max(measured, key=lambda pair: pair[0], default=(0.0, None))
    return lead if loudest > _MOVED else None


def _timing(found: Residuals, lead: Series | None, deployment: Deployment) -> float:
    """Does the effect follow the new version's share as well as it follows any free change point?"""
    if lead is None:
        return 0.0
    span = found.span
    index = np.arange(max(span.first - _ONSET, 0), span.stop)
    index = index[span.clean[index]]
    z = np.nan_to_num(np.clip(lead.by_window()[index], -40, 40))
    share = deployment.share[index]
    free = min(_misfit(z, (np.arange(len(z)) >= a).astype(np.float64)) for a in range(1, max(len(z), 2)))
    follows = min(
        _misfit(z, np.concatenate([np.zeros(k), share[: len(share) - k]])) for k in range(min(4, len(z)))
    )
    noise = 2 * max(1.0, 0.02 * float(np.max(z * z)))
    return min(max(TIMING + (free - follows) / noise, -TIMING), TIMING)


def _misfit(z: NDArray[np.float64], shape: NDArray[np.float64]) -> float:
    energy = float(np.sum(shape * shape))
    rest = float(np.sum(z * z))
    return rest - float(np.sum(shape * z)) ** 2 / energy if energy > 1e-9 else rest


def _contrasts(found: Residuals, stage: str, deployment: Deployment) -> Iterator[Contrast]:
    """New against old inside the windows of the evidence, metric by metric."""
    pairs = []
    for window in found.evidence:
        versions = window.stages.get(stage, {})
        new = versions.get(deployment.version, _NOTHING)
        # More than two versions at once: the newest against the rest.
        old = [c for v, c in sorted(versions.items()) if v != deployment.version]
        pairs.append((old, new))
    for metric in COMPARED:
        series = found.series.get(SeriesKey(stage, metric))
        members = series.members if isinstance(series, Tied) else [series]
        for member in members:
            contrast = None
            read = _reader(found, stage, metric, member.label) if isinstance(member, Ratio) else None
            if isinstance(member, Ratio) and read is not None:
                contrast = _compare_ratio(metric, member, pairs, read)
            elif isinstance(member, Level) and metric == "latency_p50":
                contrast = _compare_latency(member, pairs)
            if contrast is not None:
                yield contrast


_NOTHING = StageCounts()


def _compare_ratio(metric: str, series: Ratio, pairs: _Pairs, read: _Read) -> Contrast | None:
    """New against old in the same windows, and old against the baseline."""
    table = np.zeros((2, 2, len(pairs)))
    for column, (old, new) in enumerate(pairs):
        for part in old:
            table[0, :, column] += read(part)
        table[1, :, column] = read(new)
    n = bounded(table[:, 1])
    k = np.minimum(bounded(table[:, 0]), n)
    found = mantel_haenszel(k, n)
    if found is None:
        return None
    z, difference = found
    old_n, new_n = float(n[0].sum()), float(n[1].sum())
    z_old = series.sigmas(float(k[0].sum()), old_n)
    effect = float(k.sum()) - float(n.sum()) * series.usual
    explained = new_n * difference / effect if abs(effect) > 1e-9 else 0.0
    new_value, old_value = float(k[1].sum()) / new_n, float(k[0].sum()) / old_n
    windows = int(np.sum((n[0] > 0) & (n[1] > 0)))
    return Contrast(
        metric, series.label, z, z_old, new_value, old_value, min(max(explained, 0.0), 1.0), windows
    )


def _reader(found: Residuals, stage: str, metric: str, label: str) -> _Read | None:
    """How a ratio is read from the counts of one version; None where another stage counts a part of it."""
    if metric != "ratio":
        return lambda c: counts_of(metric, label, c)
    own = next((r for r in found.definition.ratios if r.name == label), None)
    if own is None or not own.numerator[0] == own.denominator[0] == stage:
        return None
    top, bottom = own.numerator[1], own.denominator[1]
    return lambda c: (c.counter(top), c.counter(bottom))


def _compare_latency(series: Level, pairs: _Pairs) -> Contrast | None:
    """The ln latency of new less old, window by window, weighted by what each mean is worth."""
    rows = [
        (row, new)
        for old, new in pairs
        if new.records >= 10 and is_timed(new) and (row := _merged(old)) is not None
    ]
    if not rows:
        return None
    weight = gap = base = 0.0
    records_old = records_new = 0
    for (n_old, ln_old, spread_old), new in rows:
        spread = _spread(new.latency_spread)
        w = 1 / (spread_old**2 / n_old + spread**2 / new.records)
        weight, gap = weight + w, gap + w * (log(new.latency) - ln_old)
        base += ln_old
        records_old, records_new = records_old + n_old, records_new + new.records
    gap, base = gap / weight, base / len(rows)
    if -series.least[0] < gap < series.least[1]:
        return None
    off = base - series.usual
    spread_all = max(row[2] for row, _ in rows)
    z_old = off / sqrt(series.sd**2 + spread_all**2 / records_old)
    effect = gap * records_new + (off * (records_old + records_new) if abs(z_old) > 2 else 0.0)
    explained = gap * records_new / effect if effect else 0.0
    # A process has a pace of its own that wanders as the stage's does, and its first window is no fair one.
    z = gap / sqrt(1 / weight + 0.03**2 + series.sd**2 / len(rows))
    new_value, old_value = float(np.exp(base + gap)), float(np.exp(base))
    return Contrast(
        "latency_p50", "", z, z_old, new_value, old_value, min(max(explained, 0.0), 1.0), len(rows)
    )


def _merged(parts: list[StageCounts]) -> tuple[int, float, float] | None:
    """Records, ln latency and its spread over several versions."""
    timed = [p for p in parts if is_timed(p)]
    records = sum(p.records for p in timed)
    if records < 10:
        return None
    middle = sum(p.records * log(p.latency) for p in timed) / records
    return records, middle, sum(p.records * _spread(p.latency_spread) for p in timed) / records


def _spread(measured: float) -> float:
    """The scatter of ln latency, within reason."""
    return min(max(measured, 0.1), 10.0) if isfinite(measured) else 1.0

"""One distribution under watch: its baseline, how much chance moves it, what waits to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swirl.null_law import ratio_evidence, ratio_limit
from swirl_detectors.baseline import Baseline, baseline_for, unpacked
from swirl_detectors.samples import Sample, count, kept, merged, pack, unpack

if TYPE_CHECKING:
    from swirl.drift import Distance

__all__ = ["Judged", "Series", "Settling"]

_PRIOR = 4.0
"""Degrees of freedom that the independence of records is worth before there is anything to learn from."""
_UNSURE, _UNSURE_SIZE = 8.0, 2.0
"""Where a given baseline is judged at once: degrees of freedom, and the size of clusters they stand for."""
_MOST_KNOWN = 30.0
"""How alike windows are is never believed to be known better than from so many degrees of freedom."""
_MOST_AT_ONCE = 8.0
_ODD = 9.0
"""Nats of surprise beyond which a window is kept out of a baseline."""


@dataclass(frozen=True, slots=True)
class Settling:
    """When a baseline holds enough: all three must be reached.

    Attributes:
        begin: windows before anything is judged.
        windows: least.
        values: least.
        duration_ms: of event time.
    """

    begin: int
    windows: int
    values: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A sample against its baseline.

    Attributes:
        distance: between them.
        dispersion: how many times what independent records would give is usual.
        z: standard normal deviate of the distance, by its law and the dispersion.
        statistic: that was used.
        nats: of surprise that the sample is of the baseline at all.
        usual: squared distance that is usual, for these nats.
        known: degrees of freedom that this is known from.
        settled: the baseline is learnt no more, so that a window is judged outright.
    """

    distance: Distance
    dispersion: float
    z: float
    statistic: str
    nats: float
    usual: float
    known: float
    settled: bool

    @property
    def chance(self) -> float:
        """What chance alone makes of the statistic on average."""
        return self.distance.shown(self.distance.law.mean * self.dispersion)

    def shown(self, z: float) -> float:
        """The statistic that has a deviate."""
        return self.distance.shown(self.distance.law.distance(z) * self.dispersion)

    def limit(self, nats: float) -> float:
        """The statistic that is so surprising, outright."""
        return self.distance.shown(ratio_limit(nats, self.distance.law.freedom, self.known) * self.usual)


class Series:
    """The state of one series.

    Attributes:
        baseline: what is normal; None before the first window.
        given: the baseline was given, and is never learnt.
        settled: the baseline holds enough, and is learnt no more.
        waiting: windows that were too small so far.
        last: the sample that was judged last; not in a snapshot.
        held: in an incident.
        alarmed: squared distance over its mean, and degrees of freedom, of the last alarm by nats.
    """

    __slots__ = (
        "_begun_ms",
        "_known",
        "_own",
        "_usual",
        "alarmed",
        "baseline",
        "given",
        "held",
        "last",
        "settled",
        "waiting",
    )

    def __init__(self) -> None:
        self.baseline: Baseline | None = None
        self.given = self.settled = self.held = False
        self.waiting: Sample | None = None
        self.last: Sample | None = None
        self.alarmed: tuple[float, float] | None = None
        # Beside a given baseline, how much windows differ among themselves is learnt from one of their own.
        self._own: Baseline | None = None
        self._begun_ms = 0
        self._usual = self._known = 0.0

    @property
    def dispersion(self) -> float:
        """How far samples lie off without drift, in what independent records would give."""
        return (_PRIOR + self._usual) / (_PRIOR + self._known)

    def refer(self, sample: Sample) -> None:
        """Take a baseline that is given."""
        self.baseline = baseline_for(sample)
        self.baseline.learn(sample)
        self.baseline.begin()
        self.given = self.settled = True
        self.waiting, self._own = None, None
        self._usual = self._known = 0.0

    def collect(self, sample: Sample, least: int) -> Sample | None:
        """The sample and those before it that were too small; None while all is too small."""
        if self.waiting is not None:
            sample = merged(self.waiting, sample)
        if count(sample) >= least:
            self.waiting = None
            return sample
        # Late records may still change the window that the sample is of.
        self.waiting = kept(sample)
        return None

    def judge(self, sample: Sample, statistic: str, begin: int) -> Judged | None:
        """A sample against the baseline; None if it is of another sort, or nothing is known yet."""
        known = self.baseline
        if known is None or not known.takes(sample) or (known.windows < begin and not self.given):
            return None
        dispersion = self.dispersion
        found = known.compare(sample, statistic, dispersion)
        if found is None:
            return None
        usual, freedom = dispersion, _PRIOR + self._known
        if self.given:
            freedom = _UNSURE + self._known
            usual = (_UNSURE * _UNSURE_SIZE + self._usual) / freedom
        freedom = min(freedom, _MOST_KNOWN)
        usual *= found.law.mean
        nats = ratio_evidence(found.squared / usual, found.law.freedom, freedom)
        z = found.law.deviate(found.squared / dispersion)
        return Judged(found, dispersion, z, known.statistic(statistic), nats, usual, freedom, self.settled)

    def learn(
        self, sample: Sample, judged: Judged | None, statistic: str, settling: Settling, at_ms: int
    ) -> None:
        """Take a sample as normal.

        Args:
            sample: that was judged.
            judged: what was said of it.
            statistic: that is watched.
            settling: when a baseline holds enough.
            at_ms: end of its window.
        """
        if self.given:
            self._learn_spread(sample, statistic, settling)
            return
        if self.baseline is None or not self.baseline.takes(sample):
            if self.settled:
                return
            self.baseline, self._begun_ms, self._usual, self._known = baseline_for(sample), at_ms, 0.0, 0.0
        if self.settled:
            return
        if judged is not None:
            self._count(judged.distance)
            if judged.nats > _ODD:
                # A fault is no baseline; what is usual after all counts as such, and is not odd for long.
                return
        known = self.baseline
        known.learn(sample)
        if known.windows == settling.begin:
            known.begin()
        long = at_ms - self._begun_ms >= settling.duration_ms
        self.settled = long and known.windows >= settling.windows and known.count >= settling.values

    def _learn_spread(self, sample: Sample, statistic: str, settling: Settling) -> None:
        """How much windows differ among themselves, until that is known well enough."""
        own = self._own
        if own is None or not own.takes(sample):
            if self._known > 0:
                return
            own = self._own = baseline_for(sample)
        if own.windows >= settling.windows:
            return
        found = own.compare(sample, statistic, self.dispersion) if own.windows else None
        if found is not None:
            self._count(found)
        own.learn(sample)
        if own.windows == 1:
            own.begin()

    def _count(self, found: Distance) -> None:
        ratio = min(found.squared / found.law.mean, _MOST_AT_ONCE * self.dispersion)
        self._usual += ratio * found.law.freedom
        self._known += found.law.freedom

    def was_chance(self) -> None:
        """The last alarm was a false one: such distances are more usual than was thought."""
        if self.alarmed is not None:
            ratio, freedom = self.alarmed
            self._usual += ratio * freedom
            self._known += freedom

    def pack(self) -> list[Any]:
        """As types that MessagePack knows."""
        baseline, own = (None if known is None else known.pack() for known in (self.baseline, self._own))
        marks = [self.given, self.settled, self.held]
        alarmed = None if self.alarmed is None else list(self.alarmed)
        return [baseline, own, marks, pack(self.waiting), alarmed, self._begun_ms, self._usual, self._known]

    @classmethod
    def unpack(cls, data: list[Any]) -> Series:
        """What :meth:`pack` packed."""
        self = cls()
        baseline, own, marks, waiting, alarmed, begun, usual, known = data
        self.baseline, self._own = unpacked(baseline), unpacked(own)
        self.given, self.settled, self.held = (bool(mark) for mark in marks)
        self.waiting = unpack(waiting)
        self.alarmed = None if alarmed is None else (float(alarmed[0]), float(alarmed[1]))
        self._begun_ms, self._usual, self._known = int(begun), float(usual), float(known)
        return self

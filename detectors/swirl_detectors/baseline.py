"""What is normal for a distribution: of labels by label, of numbers as :mod:`.number_baseline` has it."""

from __future__ import annotations

from typing import Any

from swirl.drift import CELL_STATISTICS, Distance, cell_distance, label_cells
from swirl.sketch import Categories, Distribution
from swirl_detectors.moved import LEAST_COUNT, Moved, most_moved
from swirl_detectors.number_baseline import NumberBaseline
from swirl_detectors.samples import LABELS, Sample

__all__ = ["Baseline", "LabelBaseline", "Moved", "NumberBaseline", "baseline_for", "unpacked"]

_MOST_ALIKE = 10.0


class LabelBaseline:
    """Counts by label.

    Attributes:
        count: of all records.
        windows: that were learnt.

    Example:
        >>> known = LabelBaseline()
        >>> known.learn({"EUR": 700, "USD": 300})
        >>> known.moved({"EUR": 50, "EUR2": 45, "USD": 5})
        [('EUR2', 0.0, 0.45), ('USD', 0.3, 0.05), ('EUR', 0.7, 0.5)]
    """

    def __init__(self) -> None:
        self._known = Categories(LABELS)
        self.count = 0
        self.windows = 0

    @property
    def counts(self) -> dict[str, int]:
        """By label."""
        return self._known.counts

    def takes(self, sample: Sample) -> bool:
        """Whether a sample is of this sort."""
        return isinstance(sample, dict)

    def begin(self) -> None:
        """From now on samples are compared."""

    def learn(self, sample: Sample) -> None:
        """Take a sample as normal."""
        assert isinstance(sample, dict)
        self._known.add((label, n) for label, n in sorted(sample.items()) if n > 0)
        self.count = sum(self.counts.values())
        self.windows += 1

    def compare(self, sample: Sample, statistic: str, cluster: float = 1.0) -> Distance | None:
        """How far a sample lies off; by PSI where a statistic is for numbers only.

        Args:
            sample: labels.
            statistic: that is wanted.
            cluster: records that are alike; labels with fewer than five clusters are counted together.
        """
        assert isinstance(sample, dict)
        seen = {label: n for label, n in sample.items() if n > 0}
        a, b = label_cells(self.counts, seen, LEAST_COUNT * min(max(cluster, 1.0), _MOST_ALIKE))
        return cell_distance(self.statistic(statistic), a, b)

    @staticmethod
    def statistic(wanted: str) -> str:
        """The statistic that is used where one is wanted."""
        return wanted if wanted in CELL_STATISTICS else "psi"

    def moved(self, sample: Sample) -> list[Moved]:
        """What moved most: label, share before, share now."""
        if not isinstance(sample, dict) or not self.count:
            return []
        n = float(sum(c for c in sample.values() if c > 0))
        labels = sorted(set(self.counts) | set(sample))
        return (
            most_moved(
                [
                    (name, self.counts.get(name, 0) / self.count, max(sample.get(name, 0), 0) / n)
                    for name in labels
                ],
                n,
            )
            if n
            else []
        )

    def pack(self) -> dict[str, Any]:
        """As types that MessagePack knows."""
        return {"labels": dict(self.counts), "windows": self.windows}

    @classmethod
    def unpack(cls, data: dict[str, Any]) -> LabelBaseline:
        """What :meth:`pack` packed."""
        self = cls()
        self.counts.update({str(label): int(n) for label, n in data["labels"].items()})
        self.count, self.windows = sum(self.counts.values()), int(data["windows"])
        return self


Baseline = LabelBaseline | NumberBaseline


def baseline_for(sample: Sample) -> Baseline:
    """An empty baseline of the sort of a sample."""
    return NumberBaseline() if isinstance(sample, Distribution) else LabelBaseline()


def unpacked(data: dict[str, Any] | None) -> Baseline | None:
    """A baseline from what it packed."""
    if data is None:
        return None
    return LabelBaseline.unpack(data) if "labels" in data else NumberBaseline.unpack(data)

"""Which sums a record belongs to: those of its version and of its second of event time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.sdk.note import Note
from swirl.sdk.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from swirl.frame import Slice
    from swirl.sdk.version import Version

__all__ = ["MANY_TALLIES", "Tallies"]

MANY_TALLIES = 500
"""So many seconds and versions of a stage are better sent before the flush is due."""

_MOST_TALLIES = 4 * MANY_TALLIES
_BELIEVED_MS = 60_000
"""Event times further ahead of the clock do not move what is covered."""


class Tallies:
    """The sums of one stage since the last frame, by version and second.

    Args:
        stage: its name.
        labels: kept apart per category.
        version: what tells its version.
        times: its records have event times of their own.

    Attributes:
        lost: records that were left out since this was last taken.
    """

    def __init__(self, stage: str, labels: int, version: Version, *, times: bool) -> None:
        self.lost = 0
        self._stage = stage
        self._labels = labels
        self._version = version
        self._times = times
        self._newest_ms = self._oldest_ms = -1
        """Believable event times since the last report, -1 for none."""
        self._last_ms = -1
        self._tallies: dict[tuple[str, int], Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    # -- out

    def take(self, before_ms: int | None = None) -> list[Slice]:
        """The sums as slices, oldest first; the next ones begin at zero.

        Args:
            before_ms: sums of seconds from here on are kept for the next time.
        """
        tallies, self._tallies = self._tallies, {}
        keys = sorted(tallies, key=lambda key: (key[1], key[0]))
        if before_ms is not None:
            self._tallies = {key: tallies[key] for key in keys if key[1] >= before_ms}
        return [tallies[key].piece(self._stage, *key) for key in keys if key not in self._tallies]

    def take_lost(self) -> int:
        """Records left out since the last time this was asked."""
        lost, self.lost = self.lost, 0
        return lost

    def take_times(self) -> tuple[int, int]:
        """Oldest and newest event time since the last time this was asked, -1 for none."""
        seen = self._oldest_ms, self._newest_ms
        self._newest_ms = self._oldest_ms = -1
        return seen

    # -- in

    def groups(
        self, ends: NDArray[np.int64], times: NDArray[np.int64] | int, weight: int = 1
    ) -> Iterator[tuple[Tally, NDArray[np.intp] | None]]:
        """The tallies of records, with the indices of those that belong to each; None for all.

        Args:
            ends: ticks at which they were done, shape ``(n,)``.
            times: event times in milliseconds, shape ``(n,)``, or one of them if all are of one second.
            weight: records that each of them stands for.
        """
        buckets = np.asarray(times - times % 1000)
        one_bucket = isinstance(times, int) or int(buckets.min()) == int(buckets.max())
        only = int(buckets.flat[0])
        for version, mask in self._version.split(ends):
            found = [only] if one_bucket else np.unique(buckets if mask is None else buckets[mask]).tolist()
            for bucket in found:
                here = (
                    mask
                    if one_bucket
                    else (buckets == bucket if mask is None else (buckets == bucket) & mask)
                )
                where = None if here is None else np.flatnonzero(here)
                tally = self._tally(version, bucket)
                if tally is not None:
                    yield tally, where
                else:
                    self.lost += weight * (len(ends) if where is None else len(where))

    def _tally(self, version: str, bucket_ms: int) -> Tally | None:
        """The sums of a version and second; None if there are too many already."""
        tally = self._tallies.get((version, bucket_ms))
        if tally is None and len(self._tallies) < _MOST_TALLIES:
            tally = self._tallies[version, bucket_ms] = Tally(self._labels)
        return tally

    # -- event times

    def times_of(
        self, ends: NDArray[np.int64], offset: int, least_ms: int, notes: list[Any]
    ) -> NDArray[np.int64] | int:
        """Event times of records; one of them where all belong to one second.

        Args:
            ends: ticks at which they were done, shape ``(n,)``.
            offset: nanoseconds since 1970 at tick 0.
            least_ms: nothing was done before.
            notes: of the same records; they may have an event time of their own.
        """
        if not self._times:
            first = max((int(ends.min()) + offset) // 1_000_000, least_ms)
            last = max((int(ends.max()) + offset) // 1_000_000, least_ms)
            if first // 1000 == last // 1000:
                return first
        times: NDArray[np.int64] = np.maximum((ends + offset) // 1_000_000, least_ms)
        if self._times:
            self._set_times(times, notes)
        return times

    def _set_times(self, times: NDArray[np.int64], notes: list[Any]) -> None:
        """Put event times in the place of the times at which it was done."""
        host_ms = int(times.max())
        where = [i for i, note in enumerate(notes) if note.__class__ is Note and note.at is not None]
        if where:
            times[where] = [notes[i].at for i in where]
            self.saw(times[where], host_ms)

    def saw(self, times: NDArray[np.int64], host_ms: int) -> None:
        """Event times were seen at a time of the host; those far ahead of it are not believed."""
        times = times[times <= host_ms + _BELIEVED_MS]
        if times.size:
            low, high = int(times.min()), int(times.max())
            self._newest_ms = max(self._newest_ms, high)
            self._oldest_ms = low if self._oldest_ms < 0 else min(self._oldest_ms, low)
            self._last_ms = max(self._last_ms, high)

    @property
    def place_ms(self) -> int | None:
        """The event time of what has none of its own: that of the newest record; None for the host's."""
        return self._last_ms if self._times and self._last_ms >= 0 else None

"""What watching costs as emitters grow: a formula of three measured numbers, and a queue that tries it out.

``docs/scaling.md`` does its arithmetic with it; a test holds the two together.
"""

from __future__ import annotations

import heapq
import random
from typing import NamedTuple

FRAME_US = 175.0
"""Of one worker core for a frame, whatever is in it: Faust, the consumer, decoding."""
SLICE_US = 18.0
"""For each slice: one stage in one second, with a summary or two to merge."""
LIGHT_FRAME_US = 40.0
"""For a frame whose reader takes whole batches (``getmany``) in place of Faust: decoding, and who sent it."""
HEAD_BYTES, SLICE_BYTES = 100, 980
"""Of a frame on the wire, compressed, at thousands of records a second; at a hundred it is half."""
FILLED = 0.7
"""A core is not planned fuller than that: there are catching up, snapshots and a neighbour that is away."""
REPLICAS = 3


class Emitters(NamedTuple):
    """Emitters that are alike.

    Attributes:
        number: how many.
        stages: of the pipeline.
        flush_seconds: between two frames of one.
        bucket_seconds: event time that one slice sums up; 1 today. Frames end where buckets end.
    """

    number: int
    stages: int = 3
    flush_seconds: int = 1
    bucket_seconds: int = 1

    @property
    def frames(self) -> float:
        """A second."""
        return self.number / self.flush_seconds

    @property
    def slices(self) -> int:
        """Of one frame."""
        return self.stages * max(1, self.flush_seconds // self.bucket_seconds)

    def frame_us(self, each_us: float = FRAME_US) -> float:
        """Microseconds of a core for one frame."""
        return each_us + self.slices * SLICE_US

    def cores(self, each_us: float = FRAME_US) -> float:
        """That are planned for."""
        return self.frames * self.frame_us(each_us) / 1e6 / FILLED

    @property
    def megabytes(self) -> float:
        """A second into the brokers, before they copy it."""
        return self.frames * (HEAD_BYTES + self.slices * SLICE_BYTES) / 1e6

    @property
    def most_on_one_core(self) -> int:
        """Emitters of one pipeline, which share one partition and so one core."""
        return int(FILLED * 1e6 / self.frame_us() * self.flush_seconds)


class Trial(NamedTuple):
    """What a queue in front of one core came to.

    Attributes:
        busy: share of the time.
        wait_s: the longest that a frame waited.
    """

    busy: float
    wait_s: float


def tried(emitters: Emitters, seconds: int, seed: int) -> Trial:
    """Frames of emitters that begin anywhere within their turn, one core that folds them in order.

    Each takes its time give or take a quarter, as merges do.
    """
    chance = random.Random(seed)
    waiting = [(chance.random() * emitters.flush_seconds, number) for number in range(emitters.number)]
    heapq.heapify(waiting)
    free, busy, longest = 0.0, 0.0, 0.0
    while waiting[0][0] < seconds:
        at, number = heapq.heappop(waiting)
        heapq.heappush(waiting, (at + emitters.flush_seconds, number))
        work = emitters.frame_us() / 1e6 * chance.uniform(0.75, 1.25)
        longest = max(longest, free - at)
        free = max(free, at) + work
        busy += work
    return Trial(busy / max(seconds, free), longest)

"""The upstream: a scanner that reads digits off letters, in the mix and state that it happens to be in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl_pipelines.digits.images import BLOCKS, DARKEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl_pipelines.digits.images import Images, Written

__all__ = ["JAMMED", "Scanner", "scanned"]

JAMMED = 0.002
"""Share of the images that a jam leaves without numbers, on any day."""

_FRAYED = 0.1
"""Chance that a block at an edge of the ink gains a point of it, and that it loses one."""


def scanned(images: Images, random: np.random.Generator, gain: float = 1.0) -> Images:
    """The images as a scanner sees them: edges fray, and the lamp makes all of it paler or darker.

    Args:
        images: as they were written.
        random: what frays the edges, without bias.
        gain: of the lamp; 1 as agreed. A block never holds more than 16.
    """
    edge = (images > 0) & (images < DARKEST)
    luck = random.random(images.shape)
    frayed = images + edge * ((luck < _FRAYED).astype(np.float64) - (luck > 1.0 - _FRAYED))
    return frayed if gain == 1.0 else np.minimum(np.rint(frayed * gain), DARKEST)


class Scanner:
    """Draws images of digits.

    Args:
        written: what people write.
        seed: of the randomness.

    Attributes:
        gain: of the lamp.
        torn: share of the images of which two columns of blocks are missing.
    """

    def __init__(self, written: Written, seed: int = 0) -> None:
        self._images = written.images
        self._of = [np.flatnonzero(written.labels == digit) for digit in range(10)]
        self._random = np.random.default_rng(seed)
        self.healthy()

    def healthy(self) -> None:
        """As agreed: each digit as often as the others, the lamp at its strength, only the odd jam."""
        self.gain, self.torn = 1.0, 0.0
        self._ends = np.arange(1, 11) / 10

    def mix(self, weights: Mapping[int, float]) -> None:
        """Digits come so often from now on, those that are not named with weight 1."""
        each = np.array([weights.get(digit, 1.0) for digit in range(10)])
        self._ends = np.cumsum(each / each.sum())

    def draw(self, count: int) -> Images:
        """The next images; NaN where the scanner gave no number."""
        random = self._random
        digit = np.minimum(np.searchsorted(self._ends, random.random(count)), 9)
        luck = random.random(count)
        which = np.array(
            [
                self._of[d][int(u * len(self._of[d]))]
                for d, u in zip(digit.tolist(), luck.tolist(), strict=True)
            ],
            dtype=np.intp,
        )
        images = scanned(self._images[which], random, self.gain)
        images[random.random(count) < JAMMED] = np.nan
        if self.torn:
            torn = np.flatnonzero(random.random(count) < self.torn)
            images.reshape(-1, BLOCKS, BLOCKS)[torn, :, BLOCKS - 2 :] = np.nan
        return images

    def noise(self) -> float:
        """One number of the standard normal law, for whoever drives the scanner."""
        return float(self._random.standard_normal())

"""Handwritten digits: the real ones that scikit-learn brings along, half to train on and half to arrive.

They are the 1 797 of the test set of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits",
UCI Machine Learning Repository, 1998: bitmaps of 32 x 32 points in blocks of 4 x 4, each block the number of
its points that hold ink. Nothing is downloaded.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swirl.errors import MissingExtraError

__all__ = ["BLOCKS", "DARKEST", "Images", "Labels", "Written", "handwriting"]

Images: TypeAlias = NDArray[np.float64]
"""Shape ``(n, 64)``: the ink of 8 x 8 blocks row by row, 0 to 16."""

Labels: TypeAlias = NDArray[np.int64]
"""Shape ``(n,)``: 0 to 9."""

BLOCKS = 8
DARKEST = 16.0
"""Ink of a block that is full of it."""


class Written(NamedTuple):
    """Digits as people wrote them.

    Attributes:
        images: of the digits.
        labels: which digits they are.
    """

    images: Images
    labels: Labels


def handwriting() -> tuple[Written, Written]:
    """The digits to train on and those that will arrive, each digit equally often in both, always the same.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> train, arriving = handwriting()
        >>> train.images.shape, arriving.images.shape
        ((901, 64), (896, 64))
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        raise MissingExtraError("scikit-learn", "drift-demo") from None
    images, labels = load_digits(return_X_y=True)
    place = np.zeros(len(labels), dtype=np.int64)
    for digit in range(10):
        where = np.flatnonzero(labels == digit)
        place[where] = np.arange(len(where))
    even = place % 2 == 0
    return Written(images[even], labels[even]), Written(images[~even], labels[~even])

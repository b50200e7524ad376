"""What is measured of an image: six numbers that a person can picture, of all images at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl_pipelines.digits.images import BLOCKS, DARKEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_pipelines.digits.images import Images

__all__ = ["measure"]

_PLACES = np.arange(BLOCKS) - (BLOCKS - 1) / 2
"""Of rows and columns, from the middle."""


def measure(images: Images) -> dict[str, NDArray[np.float64]]:
    """The features of images; NaN where a block is missing or all are blank.

    Returns:
        By name, each of shape ``(n,)``: ``ink``, the mean over the blocks as a share of the darkest;
        ``contrast``, their standard deviation, likewise; ``width`` and ``height``, standard deviations of the
        ink's place, in blocks; ``lean``, columns to the right for each row downwards; ``balance``, the share
        of the ink in the upper half.

    Example:
        >>> bar = np.zeros((8, 8))
        >>> bar[:, 3:5] = 16
        >>> {name: float(column[0].round(2)) for name, column in measure(bar.reshape(1, 64)).items()}
        {'ink': 0.25, 'contrast': 0.43, 'width': 0.5, 'height': 2.29, 'lean': 0.0, 'balance': 0.5}
    """
    squares = images.reshape(-1, BLOCKS, BLOCKS)
    rows, columns = squares.sum(axis=2), squares.sum(axis=1)
    total = np.where(rows.sum(axis=1) > 0, rows.sum(axis=1), np.nan)
    across, down = columns @ _PLACES / total, rows @ _PLACES / total
    height = rows @ _PLACES**2 / total - down * down
    together = (squares @ _PLACES) @ _PLACES / total - across * down
    return {
        "ink": total / (BLOCKS * BLOCKS * DARKEST),
        "contrast": images.std(axis=1) / DARKEST,
        "width": np.sqrt(np.maximum(columns @ _PLACES**2 / total - across * across, 0.0)),
        "height": np.sqrt(np.maximum(height, 0.0)),
        "lean": np.where(height > 0, together / np.where(height > 0, height, 1.0), total * 0.0),
        "balance": rows[:, : BLOCKS // 2].sum(axis=1) / total,
    }

"""What goes wrong in the world around the pipeline. The pipeline's code knows nothing of it."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from swirl_pipelines.digits.images import BLOCKS
from swirl_pipelines.digits.model import train
from swirl_pipelines.digits.pipeline import scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl_pipelines.digits.images import Images
    from swirl_pipelines.digits.model import DigitModel
    from swirl_pipelines.digits.scanner import Scanner

__all__ = ["DIMMED", "MAILING", "TORN", "dim", "mailing", "mirrored_model", "tear", "unscaled_model"]

DIMMED = 0.75
TORN = 0.3
MAILING = MappingProxyType({1: 5.0, 8: 3.0})


def dim(scanner: Scanner, gain: float = DIMMED) -> None:
    """Input drift: the lamp loses strength, and every block holds less ink. All images are still valid."""
    scanner.gain = gain


def mailing(scanner: Scanner, weights: Mapping[int, float] = MAILING) -> None:
    """Label shift: a mailing to a few towns. Their postcodes hold some digits more often than usual."""
    scanner.mix(weights)


def tear(scanner: Scanner, share: float = TORN) -> None:
    """Nulls: two columns of blocks are missing in this share of the images."""
    scanner.torn = share


@cache
def mirrored_model(version: str) -> DigitModel:
    """A new version with a bug: it was trained on images with left and right exchanged."""

    def mirrored(images: Images) -> Images:
        return scale(images.reshape(-1, BLOCKS, BLOCKS)[:, :, ::-1].reshape(images.shape))

    return train(version, mirrored)


@cache
def unscaled_model(version: str) -> DigitModel:
    """A new version with a bug: it was trained on blocks from 0 to 16, and is asked with blocks from 0 to 1.

    What it says is right; it is just never sure of it.
    """
    return train(version, lambda images: images)

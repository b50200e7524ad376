"""The pipeline as a data scientist writes it: four steps on whole arrays. It knows of no fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swirl import Pipeline
from swirl_pipelines.digits.features import measure
from swirl_pipelines.digits.images import DARKEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_pipelines.digits.images import Images, Labels
    from swirl_pipelines.digits.model import Deployment

__all__ = ["BY_HAND", "VERSION", "DigitsPipeline", "bins", "readable", "scale"]

VERSION = "2026.11.1"

BY_HAND = -1
"""The bin of letters that a person has to read."""

_SURE = 0.7


def readable(images: Images) -> NDArray[np.bool_]:
    """Which images have ink, and a number from 0 to 16 in every block. Shape ``(n,)``."""
    whole = ((images >= 0.0) & (images <= DARKEST)).all(axis=1)
    return np.asarray(whole & (images > 0.0).any(axis=1))


def scale(images: Images) -> Images:
    """The blocks from 0 to 1."""
    return images / DARKEST


def bins(digits: Labels, sure: NDArray[np.float64]) -> Labels:
    """Where each letter goes: the bin of its digit, or :data:`BY_HAND` where the model is not sure."""
    return np.where(sure >= _SURE, digits, BY_HAND)


class DigitsPipeline:
    """Images of digits in, letters sorted into bins.

    Args:
        classifier: the model that serves now.
        reference: features of the images that the model was trained on, by name, against which drift is
            judged from the first window on; by default against the first windows.
        options: given on to :class:`swirl.Pipeline`.

    Attributes:
        pipeline: what Swirl sees.
    """

    def __init__(self, classifier: Deployment, *, reference: Any = None, **options: Any) -> None:
        self.pipeline = mail = Pipeline("digits", version=VERSION, **options)
        self._classifier = classifier
        self._receive = mail.stage(name="receive", reference=reference)(readable)
        self._scale = mail.stage(name="scale", after="receive")(scale)
        self._classify = mail.stage(name="classify", after="scale", version=classifier.version)(
            classifier.predict
        )
        self._sort = mail.stage(name="sort", after="classify")(bins)
        mail.ratio("sorted by machine", (self._sort, "by machine"), per=(self._sort, "records"))

    def feed(self, images: Images) -> Labels:
        """Take a batch of images, shape ``(n, 64)``; gives the bin of each that could be read."""
        with self._receive.timed() as batch:
            read = readable(images)
            batch(images, invalid={"not readable": ~read}, features=measure(images))
        with self._scale.timed() as batch:
            scaled = scale(images[read])
            batch(scaled)
        if not len(scaled):
            return np.empty(0, dtype=np.int64)
        with self._classify.timed() as batch:
            digits, sure = self._classifier.predict(scaled)
            batch(scaled, predictions=digits)
        self._classify.observe_many("confidence", sure)
        with self._sort.timed() as batch:
            sorted_into = bins(digits, sure)
            batch(digits)
        self._sort.count("by machine", int(np.count_nonzero(sorted_into != BY_HAND)))
        return sorted_into

"""The world of the digits pipeline, put together: handwriting, scanner, models, and the faults by name."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from swirl_pipelines.digits import faults
from swirl_pipelines.digits.features import measure
from swirl_pipelines.digits.images import handwriting
from swirl_pipelines.digits.model import Deployment, train, training_set
from swirl_pipelines.digits.pipeline import VERSION, DigitsPipeline, scale
from swirl_pipelines.digits.scanner import Scanner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from swirl_pipelines.digits.model import DigitModel

__all__ = ["BROKEN_VERSION", "World", "reference"]

BROKEN_VERSION = "2026.11.2"


def reference() -> dict[str, NDArray[np.float64]]:
    """The features of the images that the model was trained on: a baseline for those of ``receive``.

    Returns:
        By name, as :func:`swirl_pipelines.digits.features.measure` gives them.
    """
    return measure(training_set().images)


@cache
def _good() -> DigitModel:
    return train(VERSION, scale)


class World:
    """What surrounds the pipeline.

    Args:
        seed: of all randomness.

    Attributes:
        scanner: what comes in.
        classifier: what serves.
    """

    def __init__(self, seed: int = 0) -> None:
        self.scanner = Scanner(handwriting()[1], seed)
        self.classifier = Deployment(_good())

    def pipeline(self, **options: Any) -> DigitsPipeline:
        """A pipeline in this world; the options go to the pipeline, see there."""
        return DigitsPipeline(self.classifier, **options)

    def dim(self) -> None:
        """The lamp of the scanner loses a quarter of its strength."""
        faults.dim(self.scanner)

    def mailing(self) -> None:
        """Far more ones and eights arrive than usual."""
        faults.mailing(self.scanner)

    def tear(self) -> None:
        """The scanner leaves out two columns in three of ten images."""
        faults.tear(self.scanner)

    def deploy_mirrored(self) -> None:
        """A new model goes live that was trained on mirrored images."""
        self.classifier.model = faults.mirrored_model(BROKEN_VERSION)

    def deploy_unscaled(self) -> None:
        """A new model goes live that was trained on images of another scale."""
        self.classifier.model = faults.unscaled_model(BROKEN_VERSION)

    def repair(self) -> None:
        """The scanner is as agreed again, and the old model serves again."""
        self.scanner.healthy()
        self.classifier.model = _good()

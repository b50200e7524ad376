"""What is trained and deployed: a logistic regression on the blocks of an image."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.errors import MissingExtraError
from swirl_pipelines.digits.images import Written, handwriting
from swirl_pipelines.digits.scanner import scanned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from swirl_pipelines.digits.images import Images, Labels

__all__ = ["Deployment", "DigitModel", "train", "training_set"]


class DigitModel:
    """One version of the classifier.

    Args:
        version: of this model.
        classifier: a classifier of scikit-learn that was trained on the digits 0 to 9.
    """

    def __init__(self, version: str, classifier: Any) -> None:
        self.version = version
        self._classifier = classifier

    def predict(self, scaled: Images) -> tuple[Labels, NDArray[np.float64]]:
        """The digits, and how sure it is of each, from 0 to 1.

        Args:
            scaled: images with blocks from 0 to 1; at least one.
        """
        sure: NDArray[np.float64] = self._classifier.predict_proba(scaled)
        return sure.argmax(axis=1), sure.max(axis=1)


class Deployment:
    """Which model serves now. Rolling out another one is one assignment.

    Attributes:
        model: the one that serves.
    """

    def __init__(self, model: DigitModel) -> None:
        self.model = model

    def version(self) -> str:
        """Of the model that serves now."""
        return self.model.version

    def predict(self, scaled: Images) -> tuple[Labels, NDArray[np.float64]]:
        """Ask the model that serves now."""
        return self.model.predict(scaled)


@cache
def training_set() -> Written:
    """The digits to train on, as a healthy scanner saw them."""
    written, _ = handwriting()
    return Written(scanned(written.images, np.random.default_rng(0)), written.labels)


def train(version: str, prepare: Callable[[Images], Images]) -> DigitModel:
    """A model, trained within half a second; the same for the same ``prepare``.

    Args:
        version: that it will have.
        prepare: what is done to the images before the model sees them.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        raise MissingExtraError("scikit-learn", "drift-demo") from None
    images, labels = training_set()
    return DigitModel(version, LogisticRegression(C=10.0, max_iter=2_000).fit(prepare(images), labels))

"""How many records a stage should have received, given what its parents sent."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from swirl.residual.counts import outputs, thinness, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.history import WindowCounts
    from swirl.residual.counts import Numbers

__all__ = ["InputModel", "between"]

_FEW = 30
"""Below so many records a count is told from its forecast by chance alone."""


class InputModel(msgspec.Struct, frozen=True):
    """Records that arrive at a stage, given what its parents sent.

    Attributes:
        stage: the stage.
        parents: per parent its name, and the label of the predictions that are passed on; ``""`` for all
            records.
        shares: per parent, records that arrive per record sent.
        sd: standard deviation of the ln residual in an ordinary window.
        usual: mean forecast of a baseline window.
        late: whole windows that records take from the parents to the stage.
    """

    stage: str
    parents: tuple[tuple[str, str], ...]
    shares: tuple[float, ...]
    sd: float
    usual: float
    late: int = 0

    def forecast(self, window: WindowCounts) -> float:
        """Records that what the parents sent in this window should give."""
        sent = (outputs(total(window, parent)).get(label, 0.0) for parent, label in self.parents)
        return sum(share * count for share, count in zip(self.shares, sent, strict=True))

    def residual(
        self, now: WindowCounts, before: WindowCounts | None, earlier: Sequence[WindowCounts] = ()
    ) -> tuple[float, float] | None:
        """How far the input is from its forecast, as a natural logarithm, and the standard deviation of that.

        Zero between the forecasts from the parents' window that arrives now and the one before it: records
        may be under way. None where nothing was sent and nothing came, or where an emitter of the stage or of
        a parent was not heard.

        Args:
            now: the window.
            before: the one before it.
            earlier: those before that, newest first: asked for where records take whole windows.
        """
        if any(
            now.heard.get(s, 0) < now.known.get(s, 0) for s in (self.stage, *(p for p, _ in self.parents))
        ):
            return None
        known = [now] if before is None else [now, before, *earlier]
        arriving = known[min(self.late, len(known) - 1)]
        arrived, sent = total(now, self.stage).records, self.forecast(arriving)
        if arrived == 0 and sent == 0:
            return None
        return self.judge(arrived, sent, self.forecast(known[min(self.late + 1, len(known) - 1)]))

    def judge(self, arrived: float, sent: float, sent_before: float) -> tuple[float, float]:
        """The residual of a count, given the forecasts from this window and the last, and its deviation."""
        return float(between(arrived, sent, sent_before)), sqrt(
            self.sd**2 + float(self.widening(arrived, sent))
        )

    def widening(self, arrived: Numbers, sent: Numbers) -> Numbers:
        """Variance that a thin window has beyond an ordinary one."""
        few = np.where(np.less(arrived, _FEW), 0.2 / np.maximum(sent, 1.0), 0.0)
        found: Numbers = self.sd**2 * thinness(self.usual, sent) + few
        return found


def between(arrived: Numbers, sent: Numbers, sent_before: Numbers) -> Numbers:
    """The ln of a count over the nearer of two forecasts, zero between them; elementwise.

    Example:
        >>> between(95.0, 100.0, 90.0).round(2), between(45.0, 100.0, 90.0).round(2)
        (np.float64(0.0), np.float64(-0.69))
    """
    y = np.log(np.add(arrived, 0.5))
    a, b = np.log(np.maximum(sent, 0.0) + 0.5), np.log(np.maximum(sent_before, 0.0) + 0.5)
    found: Numbers = np.minimum(y - np.minimum(a, b), 0.0) + np.maximum(y - np.maximum(a, b), 0.0)
    return found

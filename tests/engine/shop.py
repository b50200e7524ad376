"""A small pipeline in virtual time, for the engine's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import swirl
from swirl.settings import MonitorSettings, WatchSettings
from swirl.testing.clock import ManualClock

if TYPE_CHECKING:
    from swirl.engine.local import LocalEngine

SETTINGS = MonitorSettings(window_seconds=10, lateness_seconds=1, warm_up_windows=30, calm_windows=4)
QUIET = WatchSettings(http="")


class Shop:
    """Orders are checked and scored; some are broken, and the model may be wrong."""

    def __init__(
        self, engine: LocalEngine, clock: ManualClock, version: str = "1", emitter: bytes = b"e" * 16
    ) -> None:
        self.pipeline = shop = swirl.Pipeline("shop", version=version)
        self.clock = clock
        self.broken = 0.01
        self.swapped = False
        self._rng = np.random.default_rng(7)

        @shop.stage(valid=lambda order: "price" in order)
        def check(order: dict[str, float]) -> dict[str, float]:
            return order

        @shop.stage(after=check, predicts=True)
        def score(order: dict[str, float]) -> str:
            good = bool(order["price"] < 0.8)
            return "buy" if good is not self.swapped else "skip"

        self.check, self.score = check, score
        shop.rebind(clock=clock, transport=engine, threaded=False, emitter=emitter)
        self.engine = engine

    def run(self, seconds: int) -> None:
        """Virtual time at 100 orders a second."""
        for _ in range(seconds):
            for price, luck in self._rng.random((100, 2)):
                order = self.check({"price": price} if luck > self.broken else {"cost": price})
                if "price" in order:
                    self.score(order)
            self.clock.advance(1.0)
            self.pipeline.emit_now()
            assert self.engine.folded(20)

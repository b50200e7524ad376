"""A shop that works by country: batches through a decorated pipeline, and faults in one country."""

from __future__ import annotations

import numpy as np

import swirl
from swirl.testing import Harness

__all__ = ["COUNTRIES", "FLUSH", "WINDOW", "Shop", "let_pass"]

COUNTRIES = ("DE", "FR", "US", "IT", "ES", "NL", "PL", "SE")
FLUSH = 5.0
WINDOW = 10.0


class Shop:
    """Orders are checked, then scored; both stages know the country of each.

    Args:
        seed: of the orders.
        countries: all as common.
        per_second: orders.
        usual: share of invalid ones.

    Attributes:
        divided: its records say their country.
    """

    divided = True

    def __init__(
        self,
        seed: int,
        countries: tuple[str, ...] = COUNTRIES,
        per_second: float = 40.0,
        usual: float = 0.05,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._names = np.array(countries, dtype=object)
        self._per_second = per_second
        self.invalid = dict.fromkeys(countries, usual)
        self.buys = dict.fromkeys(countries, 0.6)
        self.weight = dict.fromkeys(countries, 1.0)
        self.pipeline = shop = swirl.Pipeline("shop", version="1")
        self.check = shop.stage(name="check", valid=bool)(lambda order: order)
        self.score = shop.stage(name="score", after=self.check, predicts=True)(lambda order: order)

    def flow(self, seconds: float) -> None:
        """Let the orders of some seconds through. The fewer a country has, the fewer there are in all."""
        weights = np.array([self.weight[name] for name in self._names])
        n = self._rng.poisson(self._per_second * seconds * weights.sum() / len(weights))
        of = self._rng.choice(len(weights), n, p=weights / weights.sum())
        bad = self._rng.random(n) < np.array([self.invalid[name] for name in self._names])[of]
        buys = self._rng.random(n) < np.array([self.buys[name] for name in self._names])[of]
        moods = np.where(buys, "buy", "skip").astype(object)
        country = self._names[of]
        self.check.batch(n, segments=country if self.divided else None, invalid=bad)
        self.score.batch(segments=country[~bad] if self.divided else None, predictions=moods[~bad])


def let_pass(harness: Harness, shop: Shop, *, windows: float, seconds: float = WINDOW) -> None:
    """Let virtual time pass."""
    for _ in range(round(windows * seconds / FLUSH)):
        shop.flow(FLUSH)
        harness.advance(FLUSH)

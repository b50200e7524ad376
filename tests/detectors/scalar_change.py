"""The change detector for one series, written plainly, without pooling: what the bank of arrays must agree
with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from swirl.budget import Tails, remembered, tail_law, thresholds
from swirl.detector import Kind

SIGMAS = (0.25, 0.5, 1.0, 2.0, 4.0)
CLIPS = (6.0, 5.0, 4.0, 4.0, 4.0)
DAY_MS = 24 * 3600 * 1000
BINS = 96
MEMORY = 5000


@dataclass
class Channel:
    """One CUSUM: its direction, tilt, and the tail of its excursions."""

    sign: int
    sigmas: float
    base_clip: float
    slow: bool
    tilt: float = 0.0
    clip: float = 0.0
    cost: float = 0.0
    floor: float = 2.0
    limit: float = 0.0
    evidence: float = 0.0
    peak: float = 0.0
    onset: int = 0
    watched: float = 0.0
    counts: list[float] = field(default_factory=lambda: [0.0, 0.0])
    excesses: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def tune(self, skew: float) -> None:
        shrink = min(1.0, 0.69 / max(abs(skew), 1e-9))
        self.tilt, self.clip = self.sigmas * shrink, self.base_clip / shrink
        lam = self.sign * self.tilt
        x = lam * skew
        small = abs(x) < 1e-3 or abs(skew) < 1e-3
        self.cost = lam * lam / 2 * (1 + x / 3) if small else (math.expm1(x) - x) / (skew * skew)
        self.floor = 2.0 + max(0.0, x)

    def gain(self, z: float) -> float:
        size = abs(z)
        if size > self.clip:
            last = self.sigmas == SIGMAS[-1]
            size = self.clip * (1 + 0.5 * math.log1p((size / self.clip - 1) * 2)) if last else self.clip
        return self.sign * self.tilt * math.copysign(size, z) - self.cost

    def count(self, excess: float, *, seen: bool, times: int = 1) -> None:
        for tier, over in enumerate((excess, excess - 3.0)):
            if over > 0:
                self.excesses[tier] += times * over
                self.counts[tier] += times * seen


@dataclass
class Judgement:
    evidence: float
    expected: float
    alarm: bool
    loud: bool
    accumulated: bool
    since_ms: int
    learning: bool


class ScalarChange:
    """One series. ``score`` then ``learn``, as with the bank."""

    def __init__(self, kind: Kind, warm_up: int = 60) -> None:
        self.kind, self.warm_up = kind, warm_up
        self.counted = kind in (Kind.RATIO, Kind.RATE)
        self.channels = [
            Channel(sign, sigmas, clip, slow=sigmas < 1)
            for sign in (1, -1)
            for sigmas, clip in zip(SIGMAS, CLIPS, strict=True)
        ]
        self.points = self.variance_points = self.scale_points = 0
        self.level = self.weight = self.variance = self.size = self.skew = 0.0
        self.scale2 = 1.0
        self.q = self.q_count = self.o = self.oo = self.qo = 0.0
        self.cubes = self.cube_points = 0.0
        self.lags = [0.0, 0.0, 0.0, 0.0]
        self.lifts = [0.0, 0.0, 0.0, 0.0]
        self.b = np.zeros(4)
        self.P = np.diag([0.1, 0.2, 0.1, 0.1])
        self.plain2, self.memory, self.trusted = 1.0, 0.0, False
        self.profile, self.visits = [0.0] * BINS, [0] * BINS
        self.bin, self.bin_sum, self.bin_points, self.bin_seen, self.profile_mean = -1, 0.0, 0, 0, 0.0
        self.rebased = 0.0
        self.sxy = self.sxx = self.noise = self.gain = 0.0
        self.origin = self.part_square = self.kept = 0.0
        self.restless = 0.0
        self.agreed = 0
        self.held = self.seasoned = False
        self.windows = 0
        for channel in self.channels:
            channel.tune(0.0)
        self.set_limits(5e-6)

    # Thresholds
    # ------------------------------------------------------------------------------------------------

    def tune(self) -> None:
        self.skew = self.model_skew() if self.points >= 8 else 0.0
        worth = 500.0 if self.counted else 100.0
        skew = (self.cubes + worth * self.skew) / (self.cube_points + worth)
        for channel in self.channels:
            channel.tune(skew)

    def model_skew(self) -> float:
        if self.kind is Kind.RATIO:
            n = max(self.size, 1.0)
            d, p = self.dispersion(n - 1), min(max(self.level, 1e-4), 1 - 1e-4)
            return (2 * d - 1) / math.sqrt(d) * (1 - 2 * p) / math.sqrt(n * p * (1 - p))
        if self.kind is Kind.RATE:
            mean = max(self.level, 0.05)
            d = self.dispersion(mean)
            return (2 * d - 1) / math.sqrt(d) / math.sqrt(mean)
        return 0.0

    def refresh(self, alarms_per_window: float) -> None:
        self.tune()
        keep = remembered(self.windows)
        if self.settled() and not self.seasoned:
            self.seasoned, keep = True, keep * 0.2
            for channel in self.channels:
                if channel.slow:
                    channel.evidence = channel.peak = 0.0
        self.windows = 0
        for channel in self.channels:
            channel.watched *= keep
            channel.counts = [keep * v for v in channel.counts]
            channel.excesses = [keep * v for v in channel.excesses]
        self.set_limits(alarms_per_window)

    def set_limits(self, alarms_per_window: float) -> None:
        def column(values: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
            return np.array(values).reshape(-1, 1)

        together = min(max(0.6 + 0.06 * math.log(1e-4 / alarms_per_window), 0.3), 1.0)
        far = [not self.counted and c.sigmas == SIGMAS[-1] for c in self.channels]
        tails = Tails(
            counts=np.array([[[c.counts[tier]] for c in self.channels] for tier in (0, 1)]),
            excesses=np.array([[[c.excesses[tier]] for c in self.channels] for tier in (0, 1)]),
            windows=column([c.watched for c in self.channels]),
            floor=column([c.floor for c in self.channels]),
            nominal=column([c.tilt**2 / 2 * math.exp(-1.166 * c.tilt - c.floor) for c in self.channels]),
            prior_count=column([15.0 if f else 40.0 for f in far]),
            prior_excess=column([30.0 if f else 40.0 for f in far]),
        )
        limits = thresholds(tail_law(tails, pool=False), alarms_per_window / (10 * together))
        for channel, limit in zip(self.channels, limits[:, 0].tolist(), strict=True):
            channel.limit = limit

    # One step ahead
    # --------------------------------------------------------------------------------------------

    def dispersion(self, size: float) -> float:
        if self.kind is Kind.RATIO and size < 0.5:
            return 1.0
        prior = 10 + 30 * self.skew**2
        mean = (self.q + prior) / (self.q_count + prior)
        if self.q_count < 30:
            return max(mean, 0.2)
        n = self.q_count
        centre = self.o / n
        slope = max(0.0, self.qo / n - centre * self.q / n) / (
            max(self.oo / n - centre**2, 0.0) + 0.02 * centre**2 + prior * centre**2 / (n + prior) + 1e-12
        )
        slope = min(slope, 0.95 * mean / centre) if centre > 0 else slope
        return max(mean + slope * (size - centre), 0.2 * mean)

    def turn(self, start_ms: int) -> None:
        now = start_ms * BINS // DAY_MS % BINS
        if now == self.bin:
            return
        seen = self.bin >= 0 and self.visits[self.bin]
        if self.bin_points and (not seen or 3 * self.bin_points >= 2 * self.bin_seen):
            self.close_part(self.bin, self.bin_sum / self.bin_points)
        self.bin, self.bin_sum, self.bin_points, self.bin_seen = now, 0.0, 0, 0

    def close_part(self, old: int, mean: float) -> None:
        """The day's means are kept in single precision about an origin."""
        known = all(self.visits)
        if known:
            here = self.profile[old] - self.profile_mean / BINS
            off = mean - self.level - self.scale() * self.gain * here
            chance = max(self.part_square, self.noise / max(self.bin_points, 1))
            square = min(off * off, 9 * chance)
            self.part_square = (
                self.part_square + 0.02 * (square - self.part_square) if self.part_square > 0 else chance
            )
        if not any(self.visits):
            self.origin = mean
        base = self.origin + self.profile_mean / BINS
        if self.kind is Kind.RATE:
            factor = self.level / max(base, 1e-9) if known and base > 0 else 1.0
            value = mean / min(max(factor, 0.25), 4.0) - self.origin
        else:
            value = mean - self.origin - (self.level - base if known else 0.0)
        step = value - self.profile[old]
        bound = 4 * math.sqrt(max(self.part_square, self.noise / max(8, self.bin_points / 2)))
        if self.visits[old] == 1 and abs(step) > bound:
            self.visits[old] = 0
        elif known and self.visits[old] > 1:
            step = min(max(step, -bound), bound)
        self.visits[old] += 1
        self.agreed += self.visits[old] == 3
        after = float(np.float32(self.profile[old] + max(0.2, 1 / self.visits[old]) * step))
        self.profile_mean += after - self.profile[old]
        self.profile[old] = after
        if not known and all(self.visits):
            shape = [v - self.profile_mean / BINS for v in self.profile]
            pairs = zip(shape, shape[8:] + shape[:8], strict=True)
            energy = max(sum(a * b for a, b in pairs) / BINS, 0.0)
            self.sxx, self.sxy = 60 * energy, 0.95 * 60 * energy
            self.restless = ((energy > 0.5 * self.noise) + (energy > 0.03 * self.noise)) / 2
            level = self.origin + self.profile_mean / BINS
            self.rebased += level - self.level
            self.level = level

    def settled(self) -> bool:
        steady = self.restless == 0 or (self.restless < 1 and self.agreed >= 0.9 * BINS)
        return all(self.visits) and steady

    def scale(self) -> float:
        base = self.origin + self.profile_mean / BINS
        if self.kind is not Kind.RATE or base <= 0:
            return 1.0
        return min(max(self.level / max(base, 1e-9), 0.25), 4.0)

    def caution(self) -> float:
        if self.settled() or self.noise <= 0:
            return 0.0
        slow = self.part_square if all(self.visits) else self.variance - self.noise
        return 0.6 * math.log1p(min(max(slow / self.noise, 0.0), 20.0))

    def season(self, start_ms: int, window_ms: int) -> float:
        middle = (start_ms % DAY_MS + window_ms / 2) / DAY_MS * BINS - 0.5
        left = math.floor(middle)
        share = middle - left
        here = (1 - share) * self.profile[left % BINS] + share * self.profile[(left + 1) % BINS]
        return (here - self.profile_mean / BINS) * self.scale()

    def doubted(self, start_ms: int, window_ms: int) -> bool:
        left = math.floor((start_ms % DAY_MS + window_ms / 2) / DAY_MS * BINS - 0.5)
        return min(self.visits[left % BINS], self.visits[(left + 1) % BINS]) < 3

    def score(self, start_ms: int, window_ms: int, x: float, n: float = 1.0) -> Judgement:
        self.windows += 1
        kind = self.kind
        y = x / n if kind is Kind.RATIO else math.log(max(x, 1e-12)) if kind is Kind.POSITIVE else x
        self.turn(start_ms)
        known = all(self.visits)
        level = self.level if self.points else (x + 0.5) / (n + 1) if kind is Kind.RATIO else y
        sea = self.season(start_ms, window_ms) if known else 0.0
        gain = min(max(self.sxy, 0.0) / (self.sxx + 50 * max(self.noise, 1e-300)), 1.05) if known else 0.0
        moved, self.gain = gain - self.gain, gain
        f = level + gain * sea
        share, size, variance, d = self.spread_at(f, n)
        sd = math.sqrt(variance * d)
        shift, self.rebased = (moved * sea + self.rebased, 0.0) if known else (0.0, self.rebased)
        if self.counted and abs(shift) > 0.05 * sd:
            _, _, before, dispersed = self.spread_at(f - shift, n)
            units = math.sqrt(before * dispersed) / sd
            self.lags = [lag * units for lag in self.lags]
            self.lifts = [lift * units for lift in self.lifts]
        self.lags = [lag - shift / sd for lag in self.lags]
        self.lifts = [lift + shift / sd for lift in self.lifts]
        r = (y - f) / sd
        lags = np.array(self.lags)
        slopes = self.P @ lags
        leverage, remembered = float(lags @ slopes), float(self.b @ lags)
        trust = 1 / (1 + math.exp(3 - self.memory))
        lagged = trust * remembered
        floor, spread = 0.2 + 0.8 * min(1.0, 0.5 * abs(self.skew)), 1.0
        if kind is Kind.RATE:
            spread = math.sqrt(max(share + lagged * sd, floor * share) / share)
        elif kind is Kind.RATIO:
            p = min(max(share + lagged * sd, floor * share), 1 - floor * (1 - share))
            spread = math.sqrt(p * (1 - p) / (share * (1 - share)))
        worth = n / d if kind is Kind.RATIO else 1.0
        fresh = worth / self.weight if self.weight else 1.0
        unknown = 1 + trust * trust * leverage + fresh
        lift = (f - level) / sd
        error2 = max((self.plain2 + trust * (self.scale2 - self.plain2)) * unknown, 1e-12)
        z = up = down = self.standardised((r - lagged) / spread, error2)
        if known and self.doubted(start_ms, window_ms):
            past = lags + np.array(self.lifts)
            lately = (1 - trust) * float(past[2]) if abs(lift - self.lifts[3]) > 1 else 0.0
            without = (r + lift - trust * float(self.b @ past) - lately) / spread
            other = self.standardised(without, error2)
            up, down = min(z, other), max(z, other)
            z = math.copysign(min(abs(z), abs(other)), z)
        events = self.weight * share * (1 - share) if kind is Kind.RATIO else self.weight * share / d
        ready = self.points >= self.warm_up and (not self.counted or events >= 20)
        self.step = (
            x,
            y,
            n,
            f,
            sea,
            known,
            variance,
            d,
            size,
            worth,
            r,
            remembered,
            spread,
            leverage,
            slopes,
            fresh,
            trust,
            z,
        )
        odd = (self.held or not ready) and abs(z) > 5 + 3 * abs(self.skew)
        expected = f + lagged * sd
        self.bin_seen += 1
        judgement = self.judge(up, down, start_ms, self.shown(expected), ready=ready)
        self.skip = odd or judgement.alarm
        bound = 0.0 if odd else (5 + 2 * abs(self.skew)) * math.sqrt(self.scale2) * spread
        self.kept = 0.0
        if self.points >= 7:
            self.kept = kept = lagged + min(max(r - lagged, -bound), bound)
            rates = (1.0, 0.25, 0.08, 0.02)
            self.lags = [lag + rate * (kept - lag) for lag, rate in zip(self.lags, rates, strict=True)]
            self.lifts = [a + rate * (lift - a) for a, rate in zip(self.lifts, rates, strict=True)]
        return judgement

    def spread_at(self, f: float, n: float) -> tuple[float, float, float, float]:
        """Share, size, variance and dispersion of a point that is forecast to be f."""
        share = size = 0.0
        if self.kind is Kind.RATIO:
            share = (f * self.weight + 0.5) / (self.weight + 1) if self.weight else f
            share = min(max(share, 1e-6), 1 - 1e-6)
            variance, size = share * (1 - share) / n, n - 1
        elif self.kind is Kind.RATE:
            least = max(f, 0.02 * self.level)
            share = size = variance = max((least * self.points + 0.5) / (self.points + 1), 1e-3)
        else:
            variance = max(self.variance, self.still())
        return share, size, variance, self.dispersion(size) if self.counted else 1.0

    def standardised(self, e: float, error2: float) -> float:
        if self.points < 8:
            return 0.0
        t, freedom = e / math.sqrt(error2), max(self.scale_points - 2, 1.0)
        z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
        return math.copysign(z, t)

    def shown(self, y: float) -> float:
        if not self.points:
            return math.nan
        if self.kind is Kind.RATIO:
            return min(max(y, 0.0), 1.0)
        return max(y, 0.0) if self.kind is Kind.RATE else math.exp(y) if self.kind is Kind.POSITIVE else y

    def still(self) -> float:
        return 1e-12 * self.level**2 + (1e-12 if self.kind is Kind.POSITIVE else 1e-24)

    # Evidence
    # --------------------------------------------------------------------------------------------------

    def judge(self, up: float, down: float, start_ms: int, expected: float, *, ready: bool) -> Judgement:
        waits, cautious = 0.0 if ready else 12.0, self.caution()
        waits -= 0.0 if self.seasoned else math.log(10 / 6)
        self.ended: list[tuple[Channel, float]] = []
        loud, strongest, best, hit, over, share = False, self.channels[0], -1.0, None, 0.0, 0.0
        for channel in self.channels:
            if channel.evidence <= 0:
                channel.onset = start_ms
            gain = channel.gain(up if channel.sign > 0 else down)
            now = max(0.0, channel.evidence + gain)
            share_of = {4.0: 0.0, 2.0: 0.5}
            extra = waits + cautious * share_of.get(channel.sigmas, 1.0)
            if channel.slow and not self.seasoned:
                self.dream(channel, now, extra)
                best = max(best, 0.0)
                continue
            if now / (channel.limit + extra) > best:
                strongest, best = channel, now / (channel.limit + extra)
            if self.held:
                loud |= now > channel.limit / 2
                channel.evidence = 0.0 if now > channel.limit / 2 else now
                continue
            channel.evidence = now
            if now > 0:
                channel.peak = max(channel.peak, now)
            else:
                self.ended.append((channel, channel.peak - channel.floor))
                channel.peak = 0.0
            if now - channel.limit - extra > over:
                hit, over, share = channel, now - channel.limit - extra, gain / (channel.limit + extra)
        since = strongest.onset if best > 0 else start_ms
        if hit is not None:
            since = hit.onset
            self.spend(hit)
        return Judgement(
            best, expected, hit is not None, loud, hit is not None and share < 0.5, since, not ready
        )

    def dream(self, channel: Channel, now: float, extra: float) -> None:
        """A slow channel on the first day: its tail is learnt, and what would be an alarm is cut off."""
        if self.held:
            channel.evidence = channel.peak = 0.0
            return
        channel.evidence, channel.peak = now, max(channel.peak, now)
        if now > channel.limit + extra:
            channel.count(channel.peak - channel.floor, seen=False)
            channel.evidence = channel.peak = 0.0
        elif now <= 0:
            self.ended.append((channel, channel.peak - channel.floor))
            channel.peak = 0.0

    def spend(self, hit: Channel) -> None:
        self.cut = [*self.ended, *((c, c.peak - c.floor) for c in self.channels if c.peak)]
        self.hit = hit
        self.count_cut(1)
        for channel in self.channels:
            channel.watched += 1
            channel.evidence = channel.peak = 0.0

    def count_cut(self, times: int) -> None:
        for channel, excess in self.cut:
            channel.count(excess, seen=channel is not self.hit, times=times)

    def hold(self) -> None:
        """It may be real: what the alarm cut off is no chance until somebody says so."""
        self.held = True
        self.count_cut(-1)

    # Learning
    # --------------------------------------------------------------------------------------------------

    def learn(self) -> None:
        if self.skip:
            return
        (
            x,
            y,
            n,
            f,
            sea,
            known,
            variance,
            d,
            size,
            worth,
            r,
            remembered,
            spread,
            leverage,
            slopes,
            fresh,
            trust,
            z,
        ) = self.step
        skew, s2, fade = abs(self.skew), self.scale2, 1 - 1 / MEMORY
        if self.points >= 8:
            self.noise = (variance * d if self.counted else self.variance) * s2
            bound = 4 * math.sqrt(s2)
            q = 1 / (s2 + leverage)
            error = (r - remembered) / spread
            self.b = self.b + slopes * (min(max(error, -bound), bound) * q)
            self.P = self.P - np.outer(slopes, slopes) * q
            lost = self.trusted * (1 - trust) / 300
            self.b, self.P = self.b * (1 - lost), self.P + lost * (np.diag([0.1, 0.2, 0.1, 0.1]) - self.P)
            self.scale_points = min(self.scale_points + 1, MEMORY)
            prior = 10 + 50 * skew**2 if self.counted else 0.0
            most, least = 25 + 5 * skew**2, 1e-12 if self.counted else 1e-4
            unknown, plain2 = 1 + fresh, self.plain2
            square, plain = error * error / (unknown + leverage), r * r / unknown
            gained = math.log(plain2 * unknown / (s2 * (unknown + leverage)))
            gained += min(plain / plain2, 16.0) - min(square / s2, 16.0)
            faded = self.memory - (0.008 if self.memory > 0 else 0.0)
            self.memory = min(max(faded + gained / 2, -4.0), 8 * min(1 + self.points / MEMORY, 2.0))
            self.trusted = self.memory > 3 or (self.trusted and self.memory >= 0)
            worth2 = self.scale_points + prior
            self.scale2 = max(s2 + (min(square, most * s2) - s2) / worth2, least)
            self.plain2 = max(plain2 + (min(plain, most * plain2) - plain2) / worth2, least)
            limit = 5 + 3 * skew
            self.cubes = self.cubes * fade + min(max(z, -limit), limit) ** 3
            self.cube_points = self.cube_points * fade + 1
        if self.counted and self.points >= 1:
            error = (r - remembered) / spread
            square = min(error * error * d / (1 + leverage + fresh), (25 + 5 * skew**2) * d)
            self.q, self.q_count = self.q * fade + square, self.q_count * fade + 1
            self.o, self.oo = self.o * fade + size, self.oo * fade + size * size
            self.qo = self.qo * fade + square * size
        self.size += (n - self.size) / min(self.points + 1, 1000)
        steady = f + self.kept * math.sqrt(variance * d) if self.points >= 8 else y
        if known:
            self.sxx = self.sxx * (1 - 1 / 20000) + sea * sea
            self.sxy = self.sxy * (1 - 1 / 20000) + sea * (steady - self.level)
        self.learn_level(y, f, worth, (6 + 3 * skew) * math.sqrt(variance * d), fade, x, n, trust)
        self.bin_sum += steady
        self.bin_points += 1
        for channel, excess in self.ended:
            channel.count(excess, seen=True)
        for channel in self.channels:
            channel.watched += not self.held
        self.points += 1
        if self.points <= 120 and self.points % 8 == 0:
            self.tune()

    def learn_level(
        self, y: float, f: float, worth: float, bound: float, fade: float, x: float, n: float, trust: float
    ) -> None:
        off = y - f
        self.weight = self.weight * (fade - (trust / 50 if self.points < 300 else 0.0)) + worth
        square = off * off * (self.weight - worth) / self.weight
        if not self.points:
            self.level = (x + 0.5) / (n + 1) if self.kind is Kind.RATIO else y
        if self.variance_points > 20:
            square = min(square, 25 * max(self.variance, self.still()))
            bound = bound if self.counted else 5 * math.sqrt(self.variance)
            off = min(max(off, -bound), bound)
        self.level += worth / self.weight * off
        if self.points:
            self.variance_points = min(self.variance_points + 1, MEMORY)
            before = max(self.variance, self.still())
            self.variance += (square - self.variance) / self.variance_points
            if not self.counted and self.points > 8:
                turned = before / max(self.variance, self.still())
                self.scale2, self.plain2 = self.scale2 * turned, self.plain2 * turned
                self.lags = [lag * math.sqrt(turned) for lag in self.lags]
                self.lifts = [lift * math.sqrt(turned) for lift in self.lifts]

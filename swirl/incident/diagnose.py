"""Which stage is broken, and why: a posterior over hypotheses, each a cause at a stage.

The score of a hypothesis is the logarithm of its prior, plus for each residual series a capped gain over "not touched"
(:data:`swirl.incident.causes.ROLES`), plus what versions, the shape of the onset and missing emitters say. The residuals
are conditional, so an effect that is passed on speaks for no stage but the one where it arose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, hypot, log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from swirl.effect import SeriesKey
from swirl.incident.causes import CAUSES, CHANCE, FACTORS, MUST, MUSTS, ROLES, UNKNOWN, UNTOUCHED, Cause
from swirl.incident.residuals import Residuals, collect
from swirl.incident.series import CAP, Level, Ratio, Series, log_evidence
from swirl.incident.versions import VersionEvidence, version_evidence

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from numpy.typing import NDArray

    from swirl.history import History

__all__ = ["NAMED", "SURE", "Diagnosis", "Hypothesis", "diagnose", "locate", "residual_key"]

NAMED = 0.6
"""A cause or a stage is named from this posterior on; below, the posterior is not calibrated."""

SURE = 0.8
"""Below it another window is waited for."""

SIGNIFICANT = 3.0
LOUD = 4.5
"""Sigmas from which a series is beyond what chance may do to the loudest of many."""

_EMITTERS = "emitters"
_SILENCE_UNEXPLAINED = -4.6
_TWO_FAULTS = 20.0
"""One incident in so many is two faults at once."""
_SECOND = 2.0
_ONSET = 30
_RHYTHM = 0.35
"""Standard deviation of ln traffic by its rhythm, until a season is known."""
_SOURCE_ERROR = 0.05


@dataclass(frozen=True)
class Hypothesis:
    """A cause at a stage, and why it is as likely as it is.

    Attributes:
        cause: a key of :data:`swirl.incident.causes.CAUSES`.
        stage: its name, ``""`` for the whole pipeline.
        score: ln of prior times likelihood, against "nothing is touched".
        gains: nats that each series adds.
        extras: nats that come from elsewhere, by name.
        version: for a deployment, what the versions say.
    """

    cause: str
    stage: str
    score: float
    gains: dict[SeriesKey, float] = field(default_factory=dict)
    extras: dict[str, float] = field(default_factory=dict)
    version: VersionEvidence | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What the evidence says.

    Attributes:
        posterior: (cause, stage) -> probability, most probable first.
        best: the most probable pair; if that is "unknown", the stage is the most upstream loud one.
        cause, stage: named, each on its own: ``"unknown"`` and ``""`` while below :data:`NAMED`.
        cause_probability, stage_probability: their sums over stages and over causes.
        benign: probability that nobody needs to be told: chance, or traffic.
        hypotheses: by (cause, stage).
        z: sigmas per series.
        residuals: the series and what they are made of.
        second: another fault beside the first, if it explains more than it costs.
    """

    posterior: dict[tuple[str, str], float]
    best: tuple[str, str]
    cause: str
    stage: str
    cause_probability: float
    stage_probability: float
    benign: float
    hypotheses: dict[tuple[str, str], Hypothesis]
    z: dict[SeriesKey, float]
    residuals: Residuals | None
    second: tuple[str, str] | None = None

    @property
    def gains(self) -> dict[SeriesKey, float]:
        """Nats per series under the best hypothesis."""
        found = self.hypotheses.get(self.best)
        return found.gains if found else {}

    @property
    def version(self) -> VersionEvidence | None:
        """What the versions say about the best hypothesis."""
        found = self.hypotheses.get(self.best)
        return found.version if found else None

    @property
    def chance(self) -> float:
        """Probability that it is chance alone."""
        return sum(p for (cause, _), p in self.posterior.items() if cause == CHANCE)


def diagnose(history: History, onset_ms: int, last_ms: int) -> Generator[None, None, Diagnosis]:
    """Reason from the windows that start in ``[onset_ms, last_ms]`` against the baseline before them.

    A generator, so that an engine may pause: it yields at least every half a millisecond of work.

    Args:
        history: with its graph; its windows before the onset that are normal and whole are the baseline.
        onset_ms: start of the first anomalous window.
        last_ms: start of the newest window.
    """
    residuals = yield from collect(history, onset_ms, last_ms)
    if residuals is None:
        return _nothing_known(None)
    reasoning = _Reasoning(residuals)
    yield from reasoning.run()
    return reasoning.conclude()


def _nothing_known(residuals: Residuals | None) -> Diagnosis:
    only = {(CHANCE, ""): 1.0}
    return Diagnosis(only, (CHANCE, ""), CHANCE, "", 1.0, 1.0, 1.0, {}, {}, residuals)


def _density(x: float, sd: float) -> float:
    return exp(-0.5 * (x / sd) ** 2) / (sd * sqrt(2 * pi))


def _role_nats(role: str, z: float) -> float:
    rises, falls = ROLES[role]
    return log(rises * exp(log_evidence(z)) + 1 - rises - falls + falls * exp(log_evidence(-z)))


class _Input:
    """The input of a source: judged by the factor on it, not by how surprising it is."""

    def __init__(self, level: Level) -> None:
        x = level.change(_settled(level))
        windows = max(int(np.isfinite(level.x[level.span.first : level.span.stop]).sum()), 1)
        thin = exp(-max(level.centre + x, 0.0)) * 0.3
        self.x = x
        self.sd = sqrt(level.error(windows) ** 2 + thin)
        self.nothing = self.nats(_density(x, self.sd))

    @staticmethod
    def nats(density: float) -> float:
        """ln likelihood, bounded by what an untouched series may do."""
        return log((1 - UNTOUCHED) * density + UNTOUCHED / 10)

    def gain(self, factors: str) -> float:
        """Of a range of factors, each as likely in logarithms."""
        low, high = FACTORS[factors]
        sd = hypot(self.sd, (high - low) / 60)
        x = max(self.x, -7.0)
        grid = [low + (high - low) * step / 59 for step in range(60)]
        return self.nats(sum(_density(x - y, sd) for y in grid) / 60) - self.nothing


def _settled(level: Level) -> int:
    """The first window of the evidence from which a factor can be told: a fault seldom begins with a window."""
    first, span = level.span.first, level.span
    if span.windows < 2:
        return first
    change, rest = float(level.x[first]) - level.centre, level.change(first + 1)
    partly = change * rest > 0 and abs(change) < abs(rest)
    return first + 1 if partly else first


class _Reasoning:
    """One diagnosis under way."""

    def __init__(self, residuals: Residuals) -> None:
        self.r = residuals
        self.graph = residuals.graph
        self.z: dict[SeriesKey, float] = {}
        self.inputs: dict[SeriesKey, _Input] = {}
        self.untouched: dict[SeriesKey, float] = {}
        self.hypotheses: dict[tuple[str, str], Hypothesis] = {}
        self.shapes: dict[SeriesKey, float] = {}
        self.versions: dict[str, VersionEvidence | None] = {}
        self.silent = [s for s in self.graph.stages if residuals.alive[s] < 0.99]

    def run(self) -> Generator[None, None, None]:
        """Weigh every hypothesis."""
        for key, series in self.r.series.items():
            self._measure(key, series)
            yield
        self.sources = [s for s in self.graph.sources if SeriesKey(s, "records") in self.inputs]
        for stage in self.graph.stages:
            self.versions[stage] = version_evidence(self.r, stage) if self.r.series else None
            yield
        for name, cause in CAUSES.items():
            if cause.signs:
                yield from self._by_table(name, cause)
        yield from self._benign()
        for scope in self._silent_groups():
            self._blind(scope)
            yield
        self._chance_and_unknown()

    def _measure(self, key: SeriesKey, series: Series) -> None:
        z = series.z()
        if z is None:
            return
        self.z[key] = z
        if key.metric == "records" and isinstance(series, Level):
            self.inputs[key] = _Input(series)
            self.untouched[key] = self.inputs[key].nothing
        else:
            self.untouched[key] = _role_nats("untouched", z)

    def gain(self, key: SeriesKey, role: str) -> float:
        """Nats that a series gives a role, beyond "not touched"."""
        if key in self.inputs:
            return self.inputs[key].gain(role)
        return _role_nats(role, self.z[key]) - self.untouched[key]

    def _add(
        self,
        cause: str,
        stage: str,
        gains: dict[SeriesKey, float],
        extras: dict[str, float],
        candidates: int = 1,
        version: VersionEvidence | None = None,
    ) -> None:
        if self.silent and cause not in ("blind", "stage_down"):
            extras = {**extras, "silence": _SILENCE_UNEXPLAINED}
        score = log(CAUSES[cause].prior / candidates) + sum(gains.values()) + sum(extras.values())
        before = self.hypotheses.get((cause, stage))
        if before is None or score > before.score:
            self.hypotheses[cause, stage] = Hypothesis(cause, stage, score, gains, extras, version)

    # What the table says ---------------------------------------------------------------------------------------

    def _by_table(self, name: str, cause: Cause) -> Generator[None, None, None]:
        candidates = self._candidates(name, cause)
        for stage in candidates:
            self._weigh(name, cause, stage, len(candidates))
            yield

    def _candidates(self, name: str, cause: Cause) -> list[str]:
        if name == "input_drift":
            return [s for s in self.sources if self._first_with_features(s) is not None]
        stages = self.sources if cause.where == "source" else self.graph.stages
        if name in ("data_broken", "unversioned_change"):
            return stages
        musts = [m for m, role in cause.own.items() if role in MUSTS]
        return [s for s in stages if all(self._key(s, m) in self.z for m in musts)]

    @staticmethod
    def _key(stage: str, metric: str) -> SeriesKey:
        """Lag is one series for the pipeline, all others belong to a stage."""
        return SeriesKey("" if metric == "lag" else stage, metric)

    def _first_with_features(self, source: str) -> str | None:
        return next((s for s in [source, *self.graph.descendants[source]] if SeriesKey(s, "drift") in self.z), None)

    def _weigh(self, name: str, cause: Cause, stage: str, candidates: int) -> None:
        version = self.versions[stage] if name == "bad_deployment" else None
        if name == "bad_deployment" and version is None:
            return
        own, one_of = dict(cause.own), cause.one_of
        if name == "data_broken" and SeriesKey(stage, "invalid_ratio") not in self.z:
            own, one_of = {"error_ratio": "rise", "ratio": "may"}, ("null_ratio", "drift", "prediction_ratio")
        gains: dict[SeriesKey, float] = {}
        extras: dict[str, float] = {}
        if one_of and not self._one_of(name, stage, one_of, version, gains, extras):
            return
        for stages, roles in (([stage], own), (self.graph.descendants[stage], cause.below), (self.graph.ancestors[stage], cause.above)):
            for metric, role in roles.items():
                if role in MUSTS or (metric == "records" and cause.where == "source"):
                    gains.update({key: self.gain(key, role) for s in stages if (key := self._key(s, metric)) in self.z})
                else:
                    gains.update(self._flows(stages, metric, role))
        if name == "input_drift" and (first := self._first_with_features(stage)) is not None:
            gains[SeriesKey(first, "drift")] = self.gain(SeriesKey(first, "drift"), "up")
        self._fit_magnitudes(name, stage, gains)
        extras["switches"] = -log(2) * len({k.metric for k in gains if k.stage not in (stage, "")})
        if version is not None:
            extras["version"] = version.nats
        if name == "source_doubled" and self.r.more_emitters[stage] > 1.9:
            extras["emitters doubled"] = 3.0
        extras["onset"] = self._onset(cause, gains)
        self._add(name, stage, gains, extras, candidates, version)

    def _one_of(
        self,
        name: str,
        stage: str,
        metrics: Sequence[str],
        version: VersionEvidence | None,
        gains: dict[SeriesKey, float],
        extras: dict[str, float],
    ) -> bool:
        """At least one of the stage's own metrics moved, which one is not known; False if it has none of them."""
        found = {k: max(self.gain(k, "may"), 0.0) for m in metrics if (k := SeriesKey(stage, m)) in self.z}
        if not found:
            return False
        # A canary is too small for the whole stage, and shows side by side only.
        canary = version is not None and version.contrast is not None and abs(version.contrast.z) > 3.5
        if max(found.values()) < 0.5 and not canary:
            extras["nothing of its own"] = log(1 - MUST)
        gains.update({k: v for k, v in found.items() if v > 0})
        extras["which metric"] = -log(len(found))
        if name == "data_broken" and max(found.get(SeriesKey(stage, m), 0.0) for m in ("null_ratio", "drift")) < 0.5:
            # As likely a change without a version, or a sudden shift of the world.
            extras["labels only"] = -log(3)
        return True

    def _flows(self, stages: Iterable[str], metric: str, role: str) -> dict[SeriesKey, float]:
        """An effect that may be there or not, one switch per metric: a large graph costs no more than a small one."""
        gains = {key: self.gain(key, role) for s in stages if (key := self._key(s, metric)) in self.z}
        return gains if sum(gains.values()) > log(2) or role == "drop" else {}

    def _fit_magnitudes(self, name: str, stage: str, gains: dict[SeriesKey, float]) -> None:
        """Effects must be large enough to explain what they are said to explain."""
        invalid, errors = SeriesKey(stage, "invalid_ratio"), SeriesKey(stage, "error_ratio")
        if name == "data_broken" and invalid in gains and self.z.get(errors, 0) > 4:
            rejected, failed = self.r.series[invalid], self.r.series[errors]
            # The invalid records must be a material part of what is lost.
            if isinstance(rejected, Ratio) and isinstance(failed, Ratio) and rejected.excess < 0.1 * failed.excess:
                gains[invalid] = log(1 - MUST)
        latency = self.r.series.get(SeriesKey(stage, "latency_p50"))
        if name == "slow_stage" and isinstance(latency, Level):
            # To hold its source back to a fraction f, a stage needs about 1 / f of the time per record.
            for key in [k for k in gains if k in self.inputs and gains[k] > 0]:
                if latency.change() < 0.5 * abs(self.inputs[key].x):
                    gains[key] = 0.0

    # The shape of the onset ------------------------------------------------------------------------------------

    def _onset(self, cause: Cause, keys: Iterable[SeriesKey]) -> float:
        """Did the loudest explained series come as the cause comes: at once or slowly?"""
        loud = [k for k in keys if abs(self.z.get(k, 0.0)) > SIGNIFICANT]
        if not loud:
            return 0.0
        key = max(loud, key=lambda k: abs(self.z[k]))
        if key not in self.shapes:
            self.shapes[key] = _ramp_against_step(self.r, self.r.series[key])
        shape = self.shapes[key]
        return log(cause.ramp * exp(shape / 2) + (1 - cause.ramp) * exp(-shape / 2))

    # What nobody needs to be told ------------------------------------------------------------------------------

    def _benign(self) -> Generator[None, None, None]:
        keys = [SeriesKey(s, "records") for s in self.sources]
        groups = ([keys] if keys else []) + ([[k] for k in keys] if len(keys) > 1 else [])
        for group in groups:
            gains = {k: self.gain(k, "surge") for k in group}
            onset = self._onset(CAUSES["surge"], gains)
            self._add("surge", "", gains | self._flows(self.graph.stages, "ratio", "sway"), {"onset": onset}, 2)
        yield
        if not keys:
            return
        self._add("rhythm", "", *self._common_factor(keys))
        yield
        gains = {k: _level_of_before(self.r, self.r.series[k], self.inputs[k]) for k in keys}
        self._add("return", "", gains, {"onset": self._onset(CAUSES["return"], keys)})
        yield

    def _common_factor(self, keys: list[SeriesKey]) -> tuple[dict[SeriesKey, float], dict[str, float]]:
        """All sources move by one factor, slowly."""
        sd = max(self.inputs[k].sd for k in keys)
        grid = [-0.9 + 1.8 * step / 60 for step in range(61)]
        prior = [_density(c, _RHYTHM) for c in grid]
        spread = hypot(sd, _SOURCE_ERROR)
        likelihood = sum(
            p * float(np.prod([_density(self.inputs[k].x - c, spread) for k in keys])) for p, c in zip(prior, grid, strict=True)
        )
        nats = log(likelihood / sum(prior) + 1e-12) - sum(self.untouched[k] for k in keys)
        return {k: nats / len(keys) for k in keys}, {"onset": self._onset(CAUSES["rhythm"], keys)}

    # Emitters that are not heard -------------------------------------------------------------------------------

    def _silent_groups(self) -> list[list[str]]:
        # The last stages of a short pipeline may all be silent: then nothing remains to be judged by.
        single = [[s] for s in self.silent] if len(self.silent) < len(self.graph.stages) or len(self.silent) == 1 else []
        return single + ([self.silent] if len(self.silent) > 1 else [])

    def _blind(self, scope: list[str]) -> None:
        """Frames are missing. Is the work missing too?

        Blind: counts corrected for the emitters that are not heard are whole, and the children receive more than the
        silent stage says. Down: the children receive what it says, which is nothing.
        """
        stage = scope[0] if len(scope) == 1 else ""
        gains = {SeriesKey(s, _EMITTERS): CAP / max(1.0, len(scope) / 2) for s in scope}
        children = [c for s in scope for c in self.graph.children[s]]
        for s in sorted({*scope, *children}, key=self.graph.place):
            gains.update(self._goes_on(s, silent=s in scope))
        self._add("blind", stage, gains, {})
        if stage and self.r.alive[stage] == 0 and children:
            fed = [SeriesKey(c, "input_ratio") for c in children]
            down = {k: max(self.gain(k, "fall"), -1.0) for k in fed if k in self.z}
            self._add("stage_down", stage, {SeriesKey(stage, _EMITTERS): CAP} | down, {})

    def _goes_on(self, stage: str, *, silent: bool) -> dict[SeriesKey, float]:
        gains: dict[SeriesKey, float] = {}
        whole = self.r.whole_inputs.get(stage)
        change = whole.change() if whole is not None else float("nan")
        if whole is None or change != change:
            return gains
        records, arriving = SeriesKey(stage, "records"), SeriesKey(stage, "input_ratio")
        if records in self.inputs:
            source = self.r.series[records]
            centre = source.centre if isinstance(source, Level) else 0.0
            off = change + whole.centre - centre
            gains[records] = log(_density(off, hypot(self.inputs[records].sd, 0.1)) + UNTOUCHED / 10) - self.untouched[records]
        if arriving in self.z:
            z = self.z[arriving] * (-1 if silent else 1)
            off = (change + whole.centre) / max(whole.sd, 0.1)
            gains[arriving] = max(log_evidence(z), 0.0) - min(off * off / 2, 6.0) - self.untouched[arriving]
        return gains

    # The rest --------------------------------------------------------------------------------------------------

    def _chance_and_unknown(self) -> None:
        """Chance: there was an alarm, so the loudest series is free if it is just above what chance may do.

        Unknown: any series may have moved. It wins where the best row leaves two or more loud series unexplained.
        """
        gains: dict[SeriesKey, float] = {}
        extras = {"too large for chance": 0.0}
        if self.z:
            key = max(self.z, key=lambda k: abs(self.z[k]))
            if abs(self.z[key]) > SIGNIFICANT:
                gains[key] = min(5.0, -self.untouched[key]) if key in self.inputs else self.gain(key, "may")
            contrasts = [abs(v.contrast.z) for v in self.versions.values() if v is not None and v.contrast is not None]
            loudest = max([abs(self.z[key]), *contrasts])
            extras["too large for chance"] = -min(2 * max(0.0, loudest - LOUD), 14.0)
        self._add(CHANCE, "", gains, extras)
        anywhere = sum(
            max(0.0, log(2 * ROLES["unknown"][0]) - self.untouched[k]) if k in self.inputs else max(self.gain(k, "unknown"), 0.0)
            for k in self.z
        )
        score = log(CAUSES[UNKNOWN].prior / len(self.graph.stages)) + anywhere
        self.hypotheses[UNKNOWN, ""] = Hypothesis(UNKNOWN, "", score)

    def conclude(self) -> Diagnosis:
        """Normalise, name, and look for a second fault."""
        keys = sorted(self.hypotheses, key=lambda k: -self.hypotheses[k].score)
        top = self.hypotheses[keys[0]].score
        weights = [exp(self.hypotheses[k].score - top) for k in keys]
        whole = sum(weights)
        posterior = {k: w / whole for k, w in zip(keys, weights, strict=True)}
        causes: dict[str, float] = {}
        stages: dict[str, float] = {}
        for (cause, stage), p in posterior.items():
            causes[cause] = causes.get(cause, 0.0) + p
            stages[stage] = stages.get(stage, 0.0) + p
        best = keys[0]
        cause, stage = max(causes, key=causes.__getitem__), max(stages, key=stages.__getitem__)
        loud = [k.stage for k in self.z if abs(self.z[k]) > LOUD and k.stage]
        upstream = min(loud, key=self.graph.place, default="")
        named = stage if stages[stage] >= NAMED else ""
        if best[0] == UNKNOWN and not named:
            named = upstream
        return Diagnosis(
            posterior=posterior,
            best=(best[0], upstream) if best[0] == UNKNOWN else best,
            cause=cause if causes[cause] >= NAMED else UNKNOWN,
            stage=named,
            cause_probability=causes[cause],
            stage_probability=stages[stage],
            benign=sum(p for c, p in causes.items() if CAUSES[c].benign),
            hypotheses=self.hypotheses,
            z=self.z,
            residuals=self.r,
            second=self._second(best, keys),
        )

    def _second(self, best: tuple[str, str], keys: list[tuple[str, str]]) -> tuple[str, str] | None:
        """A fault beside the first that explains more than it costs, each series going to the better of both."""
        if CAUSES[best[0]].benign or best[0] == UNKNOWN:
            return None
        first = self.hypotheses[best].gains
        explained = sum(first.values())
        found: tuple[float, tuple[str, str]] | None = None
        for key in keys:
            if key == best or CAUSES[key[0]].benign or key[0] == UNKNOWN:
                continue
            other = self.hypotheses[key]
            both = sum(max(first.get(s, -99.0), other.gains.get(s, -99.0)) for s in sorted({*first, *other.gains}))
            cost = log(CAUSES[key[0]].prior / _TWO_FAULTS / len(self.graph.stages))
            gain = both - explained + sum(other.extras.values()) + cost
            if gain > _SECOND and (found is None or gain > found[0]):
                found = (gain, key)
        return found[1] if found else None


def _ramp_against_step(residuals: Residuals, series: Series) -> float:
    """ln likelihood ratio of a slow against a sudden onset, in [-4, 4], over the windows before and the evidence."""
    span = residuals.span
    index = np.arange(max(span.first - _ONSET, 0), span.stop)
    z = series.by_window()[index[span.clean[index]]]
    z = np.clip(z[np.isfinite(z)], -40, 40)
    n = len(z)
    if n < 10:
        return 0.0
    t = np.arange(n)
    total = float(np.sum(z * z))

    def misfit(length: int) -> float:
        starts = np.arange(1, n - min(length, 3) + 1)
        shapes: NDArray[np.float64] = np.clip((t[None, :] - starts[:, None] + 1) / length, 0, 1)
        fits = np.sum(shapes * z, axis=1) ** 2 / np.sum(shapes * shapes, axis=1)
        return total - float(fits.max())

    noise = 2 * max(1.0, 0.02 * float(np.max(np.abs(z))) ** 2)
    # A ramp has one more free number than a step.
    ratio = (misfit(1) - min(misfit(length) for length in (4, 8, 16, 30))) / noise - 1
    return min(max(ratio, -4.0), 4.0)


def _level_of_before(residuals: Residuals, series: Series, now: _Input) -> float:
    """Nats for "the traffic is where it was within the kept history": after a surge, say."""
    if not isinstance(series, Level):
        return 0.0
    known = np.array([w.normal and w.whole for w in residuals.windows[: residuals.span.first]], dtype=np.bool_)
    levels = series.x[: residuals.span.first][known] - series.centre
    levels = levels[np.isfinite(levels)]
    sd = hypot(now.sd, _SOURCE_ERROR)
    density = np.exp(-0.5 * ((now.x - levels) / sd) ** 2) / (sd * sqrt(2 * pi))
    return now.nats(float(density.mean())) - now.nothing if len(levels) else 0.0


def locate(history: History, since_ms: int, last_ms: int, key: SeriesKey) -> Generator[None, None, int]:
    """Where within ``[since_ms, last_ms]`` a series really left: the most likely step.

    A detector knows when its evidence began to grow, and that may be some quiet windows too early, which would dilute
    the size of the effect.

    Returns:
        The start of the first window of the effect; ``since_ms`` where the series says nothing.
    """
    residuals = (yield from collect(history, since_ms, last_ms)) if since_ms < last_ms else None
    series = residuals.series.get(residual_key(key)) if residuals is not None else None
    if residuals is None or series is None:
        return since_ms
    span = residuals.span
    z = np.clip(np.nan_to_num(series.by_window()[span.first : span.stop]), -40, 40)
    after = np.cumsum(z[::-1])[::-1]
    gain = after * after / np.arange(len(z), 0, -1)
    return residuals.windows[span.first + int(np.argmax(gain))].start_ms


def residual_key(key: SeriesKey) -> SeriesKey:
    """The residual series in which a judged series is seen.

    Example:
        >>> residual_key(SeriesKey("classify", "prediction_ratio", "positive"))
        SeriesKey(stage='classify', metric='prediction_ratio', label='')
    """
    metric = {"counter_level": "ratio"}.get(key.metric, key.metric)
    return SeriesKey(key.stage, metric)

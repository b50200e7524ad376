"""All hypotheses, weighed: what each series, the versions, the onset and missing emitters say about each."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, hypot, isnan, log
from typing import TYPE_CHECKING

import numpy as np

from swirl.effect import SeriesKey
from swirl.incident.causes import CAUSES, CHANCE, MUST, MUSTS, ROLES, UNKNOWN, UNTOUCHED, Cause
from swirl.incident.onset import ramp_against_step
from swirl.incident.series import CAP, Level, Ratio, Series, log_evidence
from swirl.incident.traffic import RHYTHM, SourceInput, density, nats_of_rhythm
from swirl.incident.versions import VersionEvidence, version_evidence

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from swirl.incident.priors import Priors
    from swirl.incident.residuals import Residuals

__all__ = ["LOUD", "SIGNIFICANT", "Hypothesis", "Reasoning", "contrast_key"]

SIGNIFICANT = 3.0
"""Sigmas below which a series is taken for unmoved where its own movement is asked for."""

LOUD = 4.5
"""Sigmas from which a series is beyond what chance may do to the loudest of many."""

_EMITTERS = "emitters"
_DOUBLED = 0.1
_SCALED = 3.0
"""Nats that a change of the number of processes gives to the cause that is about it: others see one in 20."""
_RESIZED = 0.1
_ONE_OF = {"latency_p50": "slower"}
"""The role of a metric that is one of several where it is not ``may``."""
_SILENCE_UNEXPLAINED = -4.6
_LAG, _VERY_LATE = SeriesKey("", "lag"), 10.0
_LATE = frozenset({"late_data", "slow_stage", "blind", "stage_down"})
"""Causes of which records come late."""
_ONE_WINDOW = -3.0


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


def _role_nats(role: str, z: float) -> float:
    rises, falls = ROLES[role]
    return log(rises * exp(log_evidence(z)) + 1 - rises - falls + falls * exp(log_evidence(-z)))


def contrast_key(stage: str) -> SeriesKey:
    """Under which the versions of a stage stand side by side."""
    return SeriesKey(stage, "version_contrast")


class Reasoning:
    """One diagnosis under way: :meth:`run` fills ``hypotheses`` and ``z``.

    Args:
        residuals: the evidence.
        priors: how common each cause is.
    """

    def __init__(self, residuals: Residuals, priors: Priors) -> None:
        self.r = residuals
        self.priors = priors
        self.graph = residuals.graph
        self.z: dict[SeriesKey, float] = {}
        self.inputs: dict[SeriesKey, SourceInput] = {}
        self.untouched: dict[SeriesKey, float] = {}
        self.hypotheses: dict[tuple[str, str], Hypothesis] = {}
        self.shapes: dict[SeriesKey, float] = {}
        self.versions: dict[str, VersionEvidence | None] = {}
        self.contrasts: dict[SeriesKey, float] = {}
        self.silent = [s for s in self.graph.stages if residuals.alive[s] < 0.99]

    def run(self) -> Generator[None, None, None]:
        """Weigh every hypothesis."""
        for key, series in self.r.series.items():
            self._measure(key, series)
            yield
        self.sources = [s for s in self.graph.sources if SeriesKey(s, "records") in self.inputs]
        for stage in self.graph.stages:
            found = version_evidence(self.r, stage) if self.r.series else None
            self.versions[stage] = found
            if found is not None:
                self.contrasts[contrast_key(stage)] = found.contrast.z if found.contrast is not None else 0.0
            yield
        for name, cause in CAUSES.items():
            if cause.signs:
                yield from self._by_table(name, cause)
        yield from self._benign()
        self._scaling()
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
            self.inputs[key] = SourceInput(series, self.r.processes[key.stage])
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
        if cause not in _LATE and self.z.get(_LAG, 0.0) > _VERY_LATE:
            extras = {**extras, "lag": _SILENCE_UNEXPLAINED}
        score = log(self.priors.of(cause) / candidates) + sum(gains.values()) + sum(extras.values())
        before = self.hypotheses.get((cause, stage))
        if before is None or score > before.score:
            self.hypotheses[cause, stage] = Hypothesis(cause, stage, score, gains, extras, version)

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
        return next(
            (s for s in [source, *self.graph.descendants[source]] if SeriesKey(s, "drift") in self.z), None
        )

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
        for stages, roles in (
            ([stage], own),
            (self.graph.descendants[stage], cause.below),
            (self.graph.ancestors[stage], cause.above),
        ):
            for metric, role in roles.items():
                if role in MUSTS or (metric == "records" and cause.where == "source"):
                    gains.update(
                        {key: self.gain(key, role) for s in stages if (key := self._key(s, metric)) in self.z}
                    )
                else:
                    gains.update(self._flows(stages, metric, role))
        if name == "input_drift" and (first := self._first_with_features(stage)) is not None:
            gains[SeriesKey(first, "drift")] = self.gain(SeriesKey(first, "drift"), "up")
        self._fit_magnitudes(name, stage, gains)
        extras["switches"] = -log(2) * len({k.metric for k in gains if k.stage not in (stage, "")})
        if version is not None:
            extras["version"] = version.timing
            if version.contrast is not None:
                gains[contrast_key(stage)] = version.side_by_side
        if name == "source_doubled":
            self._corroborate(stage, gains, extras)
        extras["onset"] = self._onset(cause, gains)
        self._add(name, stage, gains, extras, candidates, version)

    def _corroborate(self, stage: str, gains: dict[SeriesKey, float], extras: dict[str, float]) -> None:
        """A factor of two in one window may be a larger surge that began within it; who else says so?"""
        scaled = self.inputs[SeriesKey(stage, "records")].scaled
        if abs(scaled - log(2)) < _DOUBLED:
            # As likely a second process with a source of its own: then people act on what it gives.
            extras["emitters doubled"] = 1.0
        elif self.r.span.windows == 1 and sum(g for k, g in gains.items() if k.metric == "ratio") < 1:
            extras["one window"] = _ONE_WINDOW

    def _one_of(
        self,
        name: str,
        stage: str,
        metrics: Sequence[str],
        version: VersionEvidence | None,
        gains: dict[SeriesKey, float],
        extras: dict[str, float],
    ) -> bool:
        """At least one of the stage's own metrics moved, which is not known; False if it has none of them."""
        keys = [k for m in metrics if (k := SeriesKey(stage, m)) in self.z]
        found = {k: max(self.gain(k, _ONE_OF.get(k.metric, "may")), 0.0) for k in keys}
        if not found:
            return False
        # A canary is too small for the whole stage, and shows side by side only.
        canary = version is not None and version.contrast is not None and abs(version.contrast.z) > 3.5
        if max(found.values()) < 0.5 and not canary:
            extras["nothing of its own"] = log(1 - MUST)
        gains.update({k: v for k, v in found.items() if v > 0})
        extras["which metric"] = -log(len(found))
        if (
            name == "data_broken"
            and max(found.get(SeriesKey(stage, m), 0.0) for m in ("null_ratio", "drift")) < 0.5
        ):
            # As likely a change without a version, or a sudden shift of the world.
            extras["labels only"] = -log(3)
        return True

    def _flows(self, stages: Iterable[str], metric: str, role: str) -> dict[SeriesKey, float]:
        """An effect that may be there or not: one switch per metric, so that large graphs cost no more."""
        gains = {key: self.gain(key, role) for s in stages if (key := self._key(s, metric)) in self.z}
        return gains if sum(gains.values()) > log(2) or role == "drop" else {}

    def _fit_magnitudes(self, name: str, stage: str, gains: dict[SeriesKey, float]) -> None:
        """Effects must be large enough to explain what they are said to explain."""
        invalid, errors = SeriesKey(stage, "invalid_ratio"), SeriesKey(stage, "error_ratio")
        if name == "data_broken" and invalid in gains and self.z.get(errors, 0) > 4:
            rejected, failed = self.r.series[invalid], self.r.series[errors]
            # The invalid records must be a material part of what is lost.
            if (
                isinstance(rejected, Ratio)
                and isinstance(failed, Ratio)
                and rejected.excess < 0.1 * failed.excess
            ):
                gains[invalid] = log(1 - MUST)
        latency = self.r.series.get(SeriesKey(stage, "latency_p50"))
        if name == "slow_stage" and isinstance(latency, Level):
            # To hold its source back to a fraction f, a stage needs about 1 / f of the time per record.
            for key in [k for k in gains if k in self.inputs and gains[k] > 0]:
                if latency.change() < 0.5 * abs(self.inputs[key].x):
                    gains[key] = 0.0

    def _onset(self, cause: Cause, keys: Iterable[SeriesKey]) -> float:
        """Did the loudest explained series come as the cause comes: at once or slowly?"""
        loud = [k for k in keys if abs(self.z.get(k, 0.0)) > SIGNIFICANT]
        if not loud:
            return 0.0
        key = max(loud, key=lambda k: abs(self.z[k]))
        if key not in self.shapes:
            self.shapes[key] = ramp_against_step(self.r, self.r.series[key])
        shape = self.shapes[key]
        return log(cause.ramp * exp(shape / 2) + (1 - cause.ramp) * exp(-shape / 2))

    def _benign(self) -> Generator[None, None, None]:
        keys = [SeriesKey(s, "records") for s in self.sources]
        groups = ([keys] if keys else []) + ([[k] for k in keys] if len(keys) > 1 else [])
        for group in groups:
            gains = {k: self.gain(k, "surge") for k in group}
            onset = self._onset(CAUSES["surge"], gains)
            self._add(
                "surge", "", gains | self._flows(self.graph.stages, "ratio", "sway"), {"onset": onset}, 2
            )
        yield
        if not keys:
            return
        inputs = [self.inputs[k] for k in keys]
        known = all(i.forecast_error > 0 for i in inputs)
        nats = nats_of_rhythm(inputs, max(i.forecast_error for i in inputs) if known else RHYTHM)
        self._add(
            "rhythm",
            "",
            {k: nats / len(keys) for k in keys},
            {"onset": self._onset(CAUSES["rhythm"], keys)},
        )
        yield
        if known:
            return  # a forecast knows what was before
        gains = {k: self.inputs[k].gain_of_before(self.r) for k in keys}
        self._add("return", "", gains, {"onset": self._onset(CAUSES["return"], keys)})
        yield

    def _scaling(self) -> None:
        """Processes came or said goodbye. That traffic may follow them is known to every hypothesis."""
        span = self.r.span
        changes = [float(np.mean(self.r.processes[s][span.first : span.stop])) for s in self.graph.stages]
        if max(abs(c) for c in changes) > _RESIZED:
            keys = [k for k in self.inputs if abs(self.inputs[k].scaled) > _RESIZED]
            gains = dict.fromkeys(keys, 0.0)
            extras = {"emitters": _SCALED, "onset": self._onset(CAUSES["scaling"], keys)}
            self._add("scaling", "", gains, extras)

    def _silent_groups(self) -> list[list[str]]:
        # The last stages of a short pipeline may all be silent: then nothing remains to be judged by.
        single = (
            [[s] for s in self.silent]
            if len(self.silent) < len(self.graph.stages) or len(self.silent) == 1
            else []
        )
        return single + ([self.silent] if len(self.silent) > 1 else [])

    def _blind(self, scope: list[str]) -> None:
        """Frames are missing. Is the work missing too?

        Blind: counts corrected for the emitters that are not heard are whole, and the children receive more
        than the silent stage says. Down: the children receive what it says, which is nothing.
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
        if whole is None or isnan(change):
            return gains
        records, arriving = SeriesKey(stage, "records"), SeriesKey(stage, "input_ratio")
        if records in self.inputs:
            source = self.r.series[records]
            centre = source.centre if isinstance(source, Level) else 0.0
            off = change + whole.centre - centre
            gains[records] = (
                log(density(off, hypot(self.inputs[records].sd, 0.1)) + UNTOUCHED / 10)
                - self.untouched[records]
            )
        if arriving in self.z:
            z = self.z[arriving] * (-1 if silent else 1)
            off = (change + whole.centre) / max(whole.sd, 0.1)
            gains[arriving] = max(log_evidence(z), 0.0) - min(off * off / 2, 6.0) - self.untouched[arriving]
        return gains

    def _chance_and_unknown(self) -> None:
        """Chance: there was an alarm, so the loudest series is free if it is just above what chance may do.

        Unknown: any series may have moved. It wins where the best row leaves two or more loud series
        unexplained.
        """
        gains: dict[SeriesKey, float] = {}
        extras = {"too large for chance": 0.0}
        if self.z:
            key = max(self.z, key=lambda k: abs(self.z[k]))
            if abs(self.z[key]) > SIGNIFICANT:
                gains[key] = min(5.0, -self.untouched[key]) if key in self.inputs else self.gain(key, "may")
            contrasts = [
                abs(v.contrast.z) for v in self.versions.values() if v is not None and v.contrast is not None
            ]
            loudest = max([abs(self.z[key]), *contrasts])
            extras["too large for chance"] = -min(2 * max(0.0, loudest - LOUD), 14.0)
        self._add(CHANCE, "", gains, extras)
        anywhere = sum(
            max(0.0, log(2 * ROLES["unknown"][0]) - self.untouched[k])
            if k in self.inputs
            else max(self.gain(k, "unknown"), 0.0)
            for k in self.z
        )
        score = log(self.priors.of(UNKNOWN) / len(self.graph.stages)) + anywhere
        self.hypotheses[UNKNOWN, ""] = Hypothesis(UNKNOWN, "", score)

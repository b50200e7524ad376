"""All hypotheses, weighed: what each series, the versions, the onset and missing emitters say about each."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log
from typing import TYPE_CHECKING

import numpy as np

from swirl.effect import SeriesKey
from swirl.incident.causes import CAUSES, CHANCE, MUST, MUSTS, ROLES, UNKNOWN, Cause
from swirl.incident.magnitudes import fit_magnitudes
from swirl.incident.onset import ramp_against_step
from swirl.incident.signs import SIGNIFICANT, Signs
from swirl.incident.silence import gains_of_blind, gains_of_down, silent_groups
from swirl.incident.traffic import RHYTHM, nats_of_rhythm
from swirl.incident.versions import VersionEvidence, version_evidence

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from swirl.incident.priors import Priors
    from swirl.incident.residuals import Residuals

__all__ = ["LOUD", "SIGNIFICANT", "Hypothesis", "Reasoning", "contrast_key"]

LOUD = 4.5
"""Sigmas from which a series is beyond what chance may do to the loudest of many."""

_DOUBLED = 0.1
_SCALED = 3.0
"""Nats that a change of the number of processes gives to the cause that is about it: others see one in 20."""
_RESIZED = 0.1
_ONE_OF = {"latency_p50": "slower"}
"""The role of a metric that is one of several where it is not ``may``."""
_SILENCE_UNEXPLAINED = -4.6
_LAG, _VERY_LATE = SeriesKey("", "lag"), 10.0
_LEFT_MOST = 8.0
_LATE = frozenset({"late_data", "slow_stage", "blind", "stage_down"})
"""Causes of which records come late."""
_ONE_WINDOW = -3.0
_SHOWS = {"prediction_ratio": 4.0}
"""How much likelier than in another metric a change without a version shows in it."""
_BELOW_ONLY, _IN_STEP = 0.4, 2.5
"""Share of the bad deployments that only the stages below show, and how well these follow it, in nats."""
_OF_DATA = ("invalid_ratio", "null_ratio", "drift")
"""What shows that data are broken where they come in; labels alone may have other reasons."""


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
        self.signs = Signs(residuals)
        self.z, self.inputs, self.untouched = self.signs.z, self.signs.inputs, self.signs.untouched
        self.hypotheses: dict[tuple[str, str], Hypothesis] = {}
        self.shapes: dict[SeriesKey, float] = {}
        self.versions: dict[str, VersionEvidence | None] = {}
        self.contrasts: dict[SeriesKey, float] = {}
        self.silent = silent_groups(self.signs)

    def run(self) -> Generator[None, None, None]:
        """Weigh every hypothesis."""
        for key, series in self.r.series.items():
            self.signs.measure(key, series)
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
        for scope in self.silent:
            self._blind(scope)
            yield
        self._chance_and_unknown()

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
        if CAUSES[cause].benign and cause != CHANCE:
            extras = {**extras, "left unexplained": self._unexplained(gains)}
        score = log(self.priors.of(cause) / candidates) + sum(gains.values()) + sum(extras.values())
        before = self.hypotheses.get((cause, stage))
        if before is None or score > before.score:
            self.hypotheses[cause, stage] = Hypothesis(cause, stage, score, gains, extras, version)

    def _unexplained(self, gains: dict[SeriesKey, float]) -> float:
        """Traffic alone is nothing to tell, and what it leaves unexplained has to be chance."""
        everything = {**self.z, **self.contrasts}
        # What people do with more traffic may change a little.
        left = [
            abs(z) / (2 if k in gains else 1)
            for k, z in everything.items()
            if k not in self.inputs and not (k.metric == "latency_p50" and gains.get(k, 0.0) > 0)
        ]
        return -min(max(0.0, max(left, default=0.0) - LOUD), _LEFT_MOST)

    def _by_table(self, name: str, cause: Cause) -> Generator[None, None, None]:
        candidates = self._candidates(name, cause)
        for stage in candidates:
            # Of a change without a version it is weighed which stage it hits.
            self._weigh(name, cause, stage, 1 if name == "unversioned_change" else len(candidates))
            yield

    def _candidates(self, name: str, cause: Cause) -> list[str]:
        if name == "input_drift":
            return [s for s in self.sources if self._first_with_features(s) is not None]
        stages = self.sources if cause.where == "source" else self.graph.stages
        if name in ("data_broken", "unversioned_change"):
            return stages
        musts = [m for m, role in cause.own.items() if role in MUSTS]
        return [s for s in stages if all(self.signs.key(s, m) in self.z for m in musts)]

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
                    gains.update(self.signs.each(stages, metric, role))
                else:
                    gains.update(self.signs.flows(stages, metric, role))
        if name == "input_drift" and (first := self._first_with_features(stage)) is not None:
            gains[SeriesKey(first, "drift")] = self.signs.gain(SeriesKey(first, "drift"), "up")
        fit_magnitudes(self.signs, name, stage, gains)
        if name == "data_broken" and all(gains.get(SeriesKey(stage, m), 0.0) < 0.5 for m in _OF_DATA):
            # As likely a change without a version, or a sudden shift of the world.
            extras["labels only"] = -log(3)
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
        found = {k: max(self.signs.gain(k, _ONE_OF.get(k.metric, "may")), 0.0) for k in keys}
        if not found:
            return False
        # A canary is too small for the whole stage, and shows side by side only.
        canary = version is not None and version.contrast is not None and abs(version.contrast.z) > 3.5
        gains.update({k: v for k, v in found.items() if v > 0})
        if max(found.values()) < 0.5 and version is not None and version.below > _IN_STEP:
            extras["shows below only"] = log(_BELOW_ONLY) + version.below
            return True
        if max(found.values()) < 0.5 and not canary:
            extras["nothing of its own"] = log(1 - MUST)
        if name != "unversioned_change":
            extras["which metric"] = -log(len(found))
            return True
        # It hits one stage of all, and nothing says beforehand which.
        extras["which metric"] = self._where(max(found, key=found.__getitem__), metrics)
        if self.versions[stage] is not None:
            extras["there is a version"] = log(0.5)
        return True

    def _where(self, key: SeriesKey, metrics: Sequence[str]) -> float:
        """The chance that a change at any of all stages shows in this series, as a logarithm."""
        whole = sum(_SHOWS.get(k.metric, 1.0) for k in self.z if k.metric in metrics)
        return log(_SHOWS.get(key.metric, 1.0) / whole)

    def _onset(self, cause: Cause, keys: Iterable[SeriesKey]) -> float:
        """Did the loudest explained series come as the cause comes: at once or slowly?"""
        loud = [k for k in keys if self.signs.moved(k)]
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
            gains = {k: self.signs.gain(k, "surge") for k in group}
            onset = self._onset(CAUSES["surge"], gains)
            self._add(
                "surge", "", gains | self.signs.flows(self.graph.stages, "ratio", "sway"), {"onset": onset}, 2
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
        """Processes came or said goodbye. That traffic may follow them is known to every hypothesis.

        With less to do for each, more of them may be faster.
        """
        span = self.r.span
        changes = [float(np.mean(self.r.processes[s][span.first : span.stop])) for s in self.graph.stages]
        if max(abs(c) for c in changes) > _RESIZED:
            keys = [k for k in self.inputs if abs(self.inputs[k].scaled) > _RESIZED]
            gains = dict.fromkeys(keys, 0.0)
            if max(changes) > _RESIZED:
                gains |= self.signs.flows(self.graph.stages, "latency_p50", "fall")
            extras = {"emitters": _SCALED, "onset": self._onset(CAUSES["scaling"], keys)}
            self._add("scaling", "", gains, extras)

    def _blind(self, scope: list[str]) -> None:
        """Frames are missing: see :mod:`swirl.incident.silence`."""
        stage = scope[0] if len(scope) == 1 else ""
        self._add("blind", stage, gains_of_blind(self.signs, scope), {})
        down = gains_of_down(self.signs, stage) if stage else None
        if down is not None:
            self._add("stage_down", stage, down, {})

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
                gains[key] = (
                    min(5.0, -self.untouched[key]) if key in self.inputs else self.signs.gain(key, "may")
                )
            contrasts = [
                abs(v.contrast.z) for v in self.versions.values() if v is not None and v.contrast is not None
            ]
            loudest = max([abs(self.z[key]), *contrasts])
            extras["too large for chance"] = -min(2 * max(0.0, loudest - LOUD), 14.0)
        self._add(CHANCE, "", gains, extras)
        anywhere = sum(
            max(0.0, log(2 * ROLES["unknown"][0]) - self.untouched[k])
            if k in self.inputs
            else max(self.signs.gain(k, "unknown"), 0.0)
            for k in self.z
        )
        score = log(self.priors.of(UNKNOWN) / len(self.graph.stages)) + anywhere
        self.hypotheses[UNKNOWN, ""] = Hypothesis(UNKNOWN, "", score)

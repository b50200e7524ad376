"""What a person is told: one sentence, a handful of figures, where to look, and what it is not."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

import msgspec

from swirl.effect import Evidence, Rival, SeriesKey
from swirl.incident import numbers
from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN, words_of
from swirl.incident.figures import Figure, evidence_of, figure_of, name_of, recent, value_of
from swirl.incident.hypotheses import LOUD, SIGNIFICANT, Hypothesis, contrast_key
from swirl.incident.phrases import DOES, ENDINGS, EXTRAS, ONSETS, phrase
from swirl.incident.series import Level
from swirl.incident.versions import deployment_of
from swirl.residual import total

if TYPE_CHECKING:
    from swirl.incident.diagnose import Diagnosis

__all__ = ["Told", "pair_of", "tell"]

_LINES = 4
_RIVALS = 3
_MATERIAL = 0.5
"""Nats from which a series counts as explained."""
_THOUGHT_OF = ("data_broken", "bad_deployment", "input_drift", "source_outage", "slow_stage")
_POSSIBLE = 0.001
_WORTH_TELLING = 0.02
"""A rival from this posterior on is told even if the reason is not new, or if it is benign."""
_CONSEQUENCE = 0.2
"""Change of a user's own count from which it is told though its ratio did not move."""
_SIDE_BY_SIDE = 5.0
"""Sigmas from which the difference of two versions is told."""
_TAKEN_OVER = 0.9
"""Share of the records from which a new version has replaced the one before."""
_FOLLOWS = 0.1
"""ln change of a stage's input from which it counts as suffering."""


@dataclass(frozen=True)
class Told:
    """The parts of an incident that come from its diagnosis; see :class:`swirl.effect.Incident`."""

    cause: str
    stage: str
    sentence: str
    look_first: str
    evidence: tuple[Evidence, ...]
    follows: tuple[str, ...]
    posterior: float
    rivals: tuple[Rival, ...]
    version: str
    version_before: str
    version_line: str
    second: str
    reasons: tuple[tuple[str, float], ...]
    moved: int
    """How many of the figures moved; the others stand there because they did not."""
    covered: frozenset[SeriesKey]
    """Series that this explanation covers; what else becomes anomalous is news."""
    segment: str = ""


def pair_of(diagnosis: Diagnosis, *, named: bool) -> tuple[str, str]:
    """The cause (a key of the table) and the stage that are told."""
    if not named:
        return UNKNOWN, diagnosis.stage or diagnosis.best[1]
    if (diagnosis.cause, diagnosis.stage) in diagnosis.posterior:
        return diagnosis.cause, diagnosis.stage
    return next((pair for pair in diagnosis.posterior if pair[0] == diagnosis.cause), diagnosis.best)


def tell(diagnosis: Diagnosis, pipeline: str, window_ms: int, *, named: bool) -> Told:
    """All texts for a diagnosis.

    Args:
        diagnosis: with its residuals.
        pipeline: its name, told where no stage is.
        window_ms: length of a window.
        named: the cause is sure enough to be told; otherwise the candidates are.
    """
    return _Telling(diagnosis, pipeline, window_ms, named=named).told()


class _Telling:
    def __init__(self, diagnosis: Diagnosis, pipeline: str, window_ms: int, *, named: bool) -> None:
        if diagnosis.residuals is None:
            raise ValueError("a diagnosis without evidence has nothing to tell")
        self.d, self.r, self.window_ms = diagnosis, diagnosis.residuals, window_ms
        self.cause, self.stage = pair_of(diagnosis, named=named)
        self.where = self.stage or pipeline
        lead = (self.cause, self.stage) if named else diagnosis.best
        self.hypothesis = diagnosis.hypotheses.get(lead, Hypothesis(self.cause, self.stage, 0.0))
        self.base = [self.r.windows[i] for i in self.r.span.base.tolist()]

    def told(self) -> Told:
        keys = self.keys()
        moved = [*self.beside(), *self.lines(keys)][:_LINES]
        moved += self.consequences({line.name for line in moved})[: _LINES - len(moved)]
        quiet = self.quiet_lines(keys)
        evidence = [*moved, *quiet]
        version = self.hypothesis.version if self.cause == "bad_deployment" else None
        return Told(
            cause=words_of(self.cause),
            stage=self.stage,
            sentence=self.sentence(evidence),
            look_first=self.look_first(),
            evidence=tuple(evidence),
            follows=tuple(self.follows(keys)),
            posterior=round(self.d.posterior.get((self.cause, self.stage), 0.0), 6),
            rivals=tuple(self.rivals()),
            version=version.deployment.version if version else "",
            version_before=version.deployment.before if version else "",
            version_line=self.version_line(),
            second=self.second(),
            reasons=self.reasons(),
            moved=len(moved),
            covered=frozenset(self.explained()),
        )

    def explained(self) -> list[SeriesKey]:
        """The series that the explanation covers, in graph order."""
        keys = [k for k, gain in self.hypothesis.gains.items() if gain > _MATERIAL]
        keys = keys or [k for k, z in self.d.z.items() if abs(z) > LOUD]
        return sorted(keys, key=lambda k: (self.r.graph.place(k.stage), self.order(k)))

    def order(self, key: SeriesKey) -> tuple[int, float]:
        """Within a stage: as the table has it, the loudest of one kind first."""
        if key.metric == "emitters":
            return -2, 0.0
        cause = CAUSES[self.cause]
        table = [*cause.one_of, *cause.own] if cause.one_of else list(cause.own)
        version = self.hypothesis.version
        lead = version.contrast.metric if version is not None and version.contrast is not None else ""
        if key.metric == lead:
            return -1, 0.0
        rank = (
            0
            if key.metric in cause.one_of
            else table.index(key.metric)
            if key.metric in table
            else len(table)
        )
        return rank, -abs(self.d.z.get(key, 0.0))

    def keys(self) -> list[SeriesKey]:
        """The series that are shown: the root's first, then what follows downstream, at most four."""
        keys = [k for k in self.explained() if k.metric != "version_contrast"]
        own = sorted((k for k in keys if self.is_root(k)), key=self.order)
        rest = [k for k in keys if not self.is_root(k)]
        below = set(self.r.graph.descendants.get(self.stage, ()))
        # The last stages count most: there stands what the pipeline is for.
        later = [k for k in rest if k.stage in below] + [k for k in rest if k.stage not in below]
        room = _LINES - len(own[:2])
        chosen = later if len(later) <= room else [*later[: room - 1], later[-1]]
        return own[: _LINES - len(chosen)] + chosen

    def is_root(self, key: SeriesKey) -> bool:
        """It is a figure of the root stage, or of the pipeline itself."""
        everywhere = key.metric == "emitters" and not self.stage
        return key.stage == self.stage or everywhere or (key.metric == "lag" and self.cause == "late_data")

    def figure(self, key: SeriesKey) -> Figure:
        series = self.r.series.get(key)
        return figure_of(key, series.label if series is not None else "", self.r.definition)

    def line(self, key: SeriesKey, figure: Figure | None = None) -> Evidence:
        """The figure of a series, usual and now."""
        figure, evidence = figure or self.figure(key), self.r.evidence
        series = self.r.series.get(key)
        if key.metric == "input_ratio":
            now = exp(series.change()) if isinstance(series, Level) else float("nan")
            usual = 1.0
        elif key.metric == "emitters":
            usual = float(evidence[-1].known.get(key.stage, 0))
            now = float(evidence[-1].heard.get(key.stage, 0))
        else:
            usual = value_of(figure, self.base, self.window_ms)
            thin = figure.stage if figure.metric not in ("lag", "emitters") else ""
            now = value_of(figure, recent(evidence, thin) if thin else evidence[-1:], self.window_ms)
        onset = self.r.evidence[0].start_ms
        return evidence_of(figure, usual, now, root=self.is_root(key), onset_ms=onset)

    def beside(self) -> list[Evidence]:
        """The two versions side by side, where the stage as a whole hardly shows what one of them does."""
        version = self.hypothesis.version
        if self.cause != "bad_deployment" or version is None or version.contrast is None:
            return []
        contrast, deployment = version.contrast, version.deployment
        whole = self.d.z.get(SeriesKey(self.stage, contrast.metric), 0.0)
        if abs(contrast.z) <= _SIDE_BY_SIDE or abs(whole) > LOUD:
            return []
        key = SeriesKey(self.stage, contrast.metric)
        name = figure_of(key, contrast.label, self.r.definition).name
        metric = "version_latency" if contrast.metric == "latency_p50" else "version_contrast"
        pair = f"{name}, {deployment.version} beside {deployment.before}"
        figure = Figure(self.stage, metric, f"{contrast.metric}:{contrast.label}", pair)
        onset = self.r.evidence[0].start_ms
        return [evidence_of(figure, contrast.old, contrast.new, root=True, onset_ms=onset)]

    def lines(self, keys: list[SeriesKey]) -> list[Evidence]:
        """The figures that moved."""
        lines = [self.line(k) for k in keys]
        names = [line.name for line in lines]
        lines = [line for i, line in enumerate(lines) if line.name not in names[:i]]
        predicting = [s for s in self.r.graph.stages if SeriesKey(s, "prediction_ratio") in self.r.series]
        return [self._told_apart(line) for line in lines] if len(predicting) > 1 else lines

    def consequences(self, shown: set[str]) -> list[Evidence]:
        """What a person counts further down and now gets less or more of, though each stage does as usual."""
        if self.cause in ("blind", "stage_down"):
            return []
        reached = {self.stage, *self.r.graph.descendants.get(self.stage, ())}
        lines = []
        for ratio in self.r.definition.ratios:
            figure = figure_of(SeriesKey(ratio.numerator[0], "ratio"), ratio.name, self.r.definition)
            if figure.stage in reached and figure.metric == "count" and figure.name not in shown:
                shown.add(figure.name)
                line = self.line(SeriesKey(ratio.numerator[0], "ratio"), figure)
                lines.append(msgspec.structs.replace(line, root=False))
        seconds = self.window_ms / 1000
        return [
            line
            for line in lines
            if abs(line.now_value - line.usual_value)
            > max(_CONSEQUENCE * line.usual_value, 4 * (line.usual_value / seconds) ** 0.5)
        ]

    def quiet_lines(self, keys: list[SeriesKey]) -> list[Evidence]:
        """A figure that did not move, where people would look in vain."""
        if self.cause not in ("bad_deployment", "unversioned_change", "concept_shift", "downstream_broken"):
            return []
        upstream = [*self.r.graph.ancestors.get(self.stage, ()), self.stage]
        invalid = [SeriesKey(s, "invalid_ratio") for s in upstream]
        return [self.line(k) for k in invalid if k in self.r.series and k not in keys][:1]

    @staticmethod
    def _told_apart(line: Evidence) -> Evidence:
        """Where several stages predict, the label alone does not say which."""
        if line.metric != "prediction_ratio":
            return line
        return msgspec.structs.replace(
            line, name=f"{line.stage} {name_of(line.stage, line.metric, line.label)}"
        )

    def follows(self, keys: list[SeriesKey]) -> list[str]:
        """Stages that suffer from the root."""
        shown = {k.stage for k in [*keys, *self.explained()]}
        found = []
        for stage in self.r.graph.descendants.get(self.stage, ()):
            usual = sum(total(w, stage).records for w in self.base) / max(len(self.base), 1)
            now = total(self.r.evidence[-1], stage).records
            if stage in shown or abs(log((now + 1) / (usual + 1))) > _FOLLOWS + 3 / max(usual, 1) ** 0.5:
                found.append(stage)
        return found

    def sentence(self, evidence: list[Evidence]) -> str:
        """Stage, verb, number now, usual number."""
        if not evidence:
            return f"{self.where} is not as usual."
        if evidence[0].metric in ("version_contrast", "version_latency"):
            return self.sentence_of_versions(evidence[0])
        said = phrase(evidence[0])
        if self.cause == UNKNOWN:
            pairs = [p for p in self.d.posterior.items() if p[0][0] not in (UNKNOWN, CHANCE)][:2]
            both = ", ".join(f"{words_of(cause)} {numbers.percent(p)}" for (cause, _), p in pairs)
            return f"{said}. The cause is open" + (f": {both}." if both else ".")
        version = self.hypothesis.version
        if self.cause == "bad_deployment" and version is not None:
            return f"{said}, since {version.deployment.version} went out."
        return said + ENDINGS.get(self.cause, "") + "."

    def sentence_of_versions(self, line: Evidence) -> str:
        """What the new version does, and what the old one does in the same windows."""
        version = self.hypothesis.version
        assert version is not None
        new, old = version.deployment.version, version.deployment.before
        metric, _, label = line.label.partition(":")
        does = DOES.get(metric, "has {now} {label}").format(now=line.now, label=label)
        return f"{self.where} {new} {does}, {old} {line.usual} side by side."

    def look_first(self) -> str:
        parents = self.r.graph.parents.get(self.stage, [])
        version = self.hypothesis.version
        said = CAUSES[self.cause].look.format(
            stage=self.where,
            feed=" and ".join(parents) if parents else "its source",
            source=f"the source of {self.where}",
            version=version.deployment.version if version else "",
            before=version.deployment.before if version else "",
        )
        return f"{said} {beside}" if (beside := self.side_by_side()) else said

    def side_by_side(self) -> str:
        """How the two versions did in the same windows."""
        version = self.hypothesis.version
        if (
            self.cause != "bad_deployment"
            or version is None
            or version.contrast is None
            or abs(version.contrast.z) <= _SIDE_BY_SIDE
        ):
            return ""
        contrast, deployment = version.contrast, version.deployment
        shown = numbers.seconds if contrast.metric == "latency_p50" else numbers.ratio
        together = numbers.duration(contrast.windows * self.window_ms)
        said = (
            f"In the {together} when both ran, {deployment.before} had {shown(contrast.old)} "
            f"and {deployment.version} {shown(contrast.new)}"
        )
        # At a small share of the records the share of the effect is noise.
        effect = abs(self.d.z.get(SeriesKey(self.stage, contrast.metric), 0.0))
        share = (
            f": the version explains {numbers.percent(contrast.explained)} of the effect"
            if effect > 10
            else ""
        )
        return said + share + "."

    def version_line(self) -> str:
        """What happened to the versions; empty where none is known."""
        version = self.hypothesis.version
        if self.cause == "bad_deployment" and version is not None:
            d = version.deployment
            beside = d.share[self.r.span.stop - 1] < _TAKEN_OVER
            how = "runs beside" if beside else "replaced"
            return (
                f"{d.version} {how} {d.before} {'since' if beside else 'at'} {numbers.clock(d.since_ms)} UTC"
            )
        for stage in self.r.graph.stages:
            deployment = deployment_of(self.r, stage)
            if deployment is not None:
                beside = deployment.share[self.r.span.stop - 1] < _TAKEN_OVER
                did = (
                    f"runs beside {deployment.before} since" if beside else f"replaced {deployment.before} at"
                )
                change = f"{stage} {deployment.version} {did} {numbers.clock(deployment.since_ms)} UTC"
                return f"{change} and {self.cleared(stage)}"
        versions = [
            v for s in [self.stage, *self.r.graph.stages] for v in self.r.evidence[-1].stages.get(s, {}) if v
        ]
        return "version unchanged" if versions else ""

    def cleared(self, stage: str) -> str:
        """Why a deployment is not to blame."""
        contrast = self.d.z.get(contrast_key(stage))
        side_by_side = any(len(w.stages.get(stage, ())) > 1 for w in self.r.evidence)
        if side_by_side and contrast is not None and abs(contrast) <= SIGNIFICANT:
            return "changed nothing: both versions do the same side by side"
        return "is not to blame"

    def second(self) -> str:
        if self.d.second is None or self.cause == UNKNOWN:
            return ""
        cause, stage = self.d.second
        return f"A second fault is likely beside it: {stage or 'the pipeline'}: {words_of(cause)}."

    def reasons(self) -> tuple[tuple[str, float], ...]:
        """Why records of the root stage are invalid, or by what its exceptions are, commonest first."""
        counts = [total(w, self.stage) for w in self.r.evidence]
        if SeriesKey(self.stage, "invalid_ratio") not in self.explained():
            return ()
        found: dict[str, int] = {}
        for c in counts:
            for reason, n in c.reasons.items():
                found[reason] = found.get(reason, 0) + n
        whole = max(sum(c.invalid for c in counts), sum(found.values()), 1)
        common = sorted(found, key=lambda reason: (-found[reason], reason))[:3]
        return tuple((reason, round(found[reason] / whole, 6)) for reason in common if found[reason])

    def rivals(self) -> list[Rival]:
        """The other explanations, most probable first, each with the one fact that separates it."""
        seen, reasons, found = {self.cause, UNKNOWN}, set[str](), list[Rival]()
        for cause, stage in self._rival_pairs():
            posterior = self.d.posterior[cause, stage]
            if cause in seen or len(found) == _RIVALS:
                continue
            seen.add(cause)
            why = self.why_not(self.d.hypotheses[cause, stage])
            # What is out of the question for a reason that was given already teaches nothing.
            if why not in reasons or posterior >= _WORTH_TELLING:
                reasons.add(why)
                found.append(Rival(words_of(cause), stage, round(posterior, 6), why))
        if not any(cause == "bad_deployment" for cause, _ in self.d.posterior):
            found.append(Rival(words_of("bad_deployment"), "", 0.0, "no version changed"))
        return found

    def _rival_pairs(self) -> list[tuple[str, str]]:
        """The probable ones, then what a person would think of first."""
        pairs = list(self.d.posterior)
        least = {cause: _WORTH_TELLING if row.benign else _POSSIBLE for cause, row in CAUSES.items()}
        probable = [pair for pair in pairs if self.d.posterior[pair] >= least[pair[0]]]
        return probable + [pair for cause in _THOUGHT_OF for pair in pairs if pair[0] == cause]

    def why_not(self, rival: Hypothesis) -> str:
        """The one fact that separates a rival from what is told: the largest difference of gains."""
        best = self.hypothesis
        if rival.cause == CHANCE and self.d.z:
            key = max(self.d.z, key=lambda k: abs(self.d.z[k]))
            if key.metric == "version_contrast":
                return "the versions differ side by side"
            return f"{self.figure(key).name} is {abs(self.d.z[key]):.0f} sigma away"
        gaps = {
            k: best.gains.get(k, 0.0) - rival.gains.get(k, 0.0) for k in sorted({*best.gains, *rival.gains})
        }
        names = sorted({*best.extras, *rival.extras})
        others = {k: best.extras.get(k, 0.0) - rival.extras.get(k, 0.0) for k in names}
        key_most = max(gaps, key=gaps.__getitem__, default=None)
        other = max(others, key=others.__getitem__, default="")
        if key_most is not None and gaps[key_most] >= others.get(other, 0.0):
            return self._why_series(key_most, rival)
        if other == "version" and rival.version is None and best.version is not None:
            return f"it came with {best.version.deployment.version}"
        if other == "onset":
            return ONSETS.get(rival.cause, "the change came slowly")
        return EXTRAS.get(other, "less common")

    def _why_series(self, key: SeriesKey, rival: Hypothesis) -> str:
        if key.metric == "version_contrast":
            return "the versions differ side by side"
        line = self.line(key)
        if key.metric == "emitters":
            return f"only {line.now} of {line.usual} emitters are heard"
        if rival.gains.get(key, 0.0) < 0:
            if rival.cause == "source_outage":
                return f"{line.now} still arrive"
            same = line.now == line.usual
            return (
                f"{line.name} still {line.now}" if same else f"{line.name} {line.now}, usually {line.usual}"
            )
        fits = "does not fit" if key in rival.gains else "stays unexplained"
        return f"{line.name} {line.usual} → {line.now} {fits}"

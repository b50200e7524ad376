"""Which figures of a diagnosis are shown: the root's, what follows from them, and what did not move."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

import msgspec

from swirl.effect import Evidence, SeriesKey
from swirl.incident.causes import CAUSES, UNKNOWN
from swirl.incident.figures import Figure, evidence_of, figure_of, name_of, recent, value_of
from swirl.incident.hypotheses import LOUD, Hypothesis
from swirl.incident.series import Level
from swirl.residual import total

if TYPE_CHECKING:
    from swirl.incident.diagnose import Diagnosis

__all__ = ["LINES", "SIDE_BY_SIDE", "Showing", "pair_of"]

LINES = 4
SIDE_BY_SIDE = 5.0
"""Sigmas from which the difference of two versions is told."""

_MATERIAL = 0.5
"""Nats from which a series counts as explained."""
_CONSEQUENCE = 0.2
"""Change of a user's own count from which it is told though its ratio did not move."""
_FOLLOWS = 0.1
"""ln change of a stage's input from which it counts as suffering."""


def pair_of(diagnosis: Diagnosis, *, named: bool) -> tuple[str, str]:
    """The cause (a key of the table) and the stage that are told."""
    if not named:
        return UNKNOWN, diagnosis.stage or diagnosis.best[1]
    if (diagnosis.cause, diagnosis.stage) in diagnosis.posterior:
        return diagnosis.cause, diagnosis.stage
    return next((pair for pair in diagnosis.posterior if pair[0] == diagnosis.cause), diagnosis.best)


class Showing:
    """What of a diagnosis is shown.

    Args:
        diagnosis: with its residuals.
        pipeline: its name, told where no stage is.
        window_ms: length of a window.
        named: the cause is sure enough to be told; otherwise the candidates are.

    Raises:
        ValueError: the diagnosis has no residuals.
    """

    def __init__(self, diagnosis: Diagnosis, pipeline: str, window_ms: int, *, named: bool) -> None:
        if diagnosis.residuals is None:
            raise ValueError("a diagnosis without evidence has nothing to tell")
        self.d, self.r, self.window_ms = diagnosis, diagnosis.residuals, window_ms
        self.cause, self.stage = pair_of(diagnosis, named=named)
        self.where = self.stage or pipeline
        lead = (self.cause, self.stage) if named else diagnosis.best
        self.hypothesis = diagnosis.hypotheses.get(lead, Hypothesis(self.cause, self.stage, 0.0))
        self.base = [self.r.windows[i] for i in self.r.span.base.tolist()]

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
        room = LINES - len(own[:2])
        chosen = later if len(later) <= room else [*later[: room - 1], later[-1]]
        return own[: LINES - len(chosen)] + chosen

    def is_root(self, key: SeriesKey) -> bool:
        """It is a figure of the root stage, or of the pipeline itself."""
        everywhere = key.metric == "emitters" and not self.stage
        return key.stage == self.stage or everywhere or (key.metric == "lag" and self.cause == "late_data")

    def figure(self, key: SeriesKey) -> Figure:
        """What a person calls the figure of a series."""
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
        if abs(contrast.z) <= SIDE_BY_SIDE or abs(whole) > LOUD:
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

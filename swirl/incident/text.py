"""What a person is told: one sentence, a handful of figures, where to look, and what it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swirl.effect import Evidence, Rival, SeriesKey
from swirl.incident import numbers
from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN, words_of
from swirl.incident.hypotheses import SIGNIFICANT, contrast_key
from swirl.incident.phrases import DOES, ENDINGS, phrase
from swirl.incident.rivals import rivals_of
from swirl.incident.showing import LINES, SIDE_BY_SIDE, Showing
from swirl.incident.versions import deployment_of
from swirl.residual import total

if TYPE_CHECKING:
    from swirl.incident.diagnose import Diagnosis

__all__ = ["Told", "tell"]

_TAKEN_OVER = 0.9
"""Share of the records from which a new version has replaced the one before."""


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


def tell(diagnosis: Diagnosis, pipeline: str, window_ms: int, *, named: bool) -> Told:
    """All texts for a diagnosis.

    Args:
        diagnosis: with its residuals.
        pipeline: its name, told where no stage is.
        window_ms: length of a window.
        named: the cause is sure enough to be told; otherwise the candidates are.
    """
    return _Telling(diagnosis, pipeline, window_ms, named=named).told()


class _Telling(Showing):
    def told(self) -> Told:
        keys = self.keys()
        moved = [*self.beside(), *self.lines(keys)][:LINES]
        moved += self.consequences({line.name for line in moved})[: LINES - len(moved)]
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
            rivals=tuple(rivals_of(self)),
            version=version.deployment.version if version else "",
            version_before=version.deployment.before if version else "",
            version_line=self.version_line(),
            second=self.second(),
            reasons=self.reasons(),
            moved=len(moved),
            covered=frozenset(self.explained()),
        )

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
            or abs(version.contrast.z) <= SIDE_BY_SIDE
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

"""What is reasoned over a case: its diagnosis, that of a segment, and what of both is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swirl.history import forecasts_of
from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN
from swirl.incident.diagnose import NAMED, SURE, diagnose
from swirl.incident.priors import Priors
from swirl.incident.segments import narrowed, placed
from swirl.incident.text import tell
from swirl.segments import segment_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from swirl.incident.case import Case, Present
    from swirl.incident.diagnose import Diagnosis
    from swirl.incident.state import State
    from swirl.incident.text import Told

__all__ = ["LINES", "NAMING_WINDOWS", "Reasoner", "parts_of", "severity_of"]

NAMING_WINDOWS = 3
"""So many windows are waited for at most until the cause is sure."""

LINES = 5
_MOVED = 2
"""Labels or intervals of one feature that are told."""


@dataclass(frozen=True)
class Reasoner:
    """Diagnoses cases of a pipeline; each method may be paused.

    Attributes:
        pipeline: its name.
        state: what people judged counts.
    """

    pipeline: str
    state: State

    def diagnosed(self, case: Case, present: Present) -> Generator[None, None, Diagnosis]:
        """Reason over the whole pipeline, knowing what its seasons forecast and what people judged."""
        history = present.history
        return (
            yield from diagnose(
                history,
                case.onset_ms,
                present.window.start_ms,
                forecasts=forecasts_of(history),
                priors=Priors(self.state.judged),
            )
        )

    def narrowed(self, case: Case, present: Present, whole: Diagnosis) -> Generator[None, None, Diagnosis]:
        """The diagnosis of the segment that is loud, where that of the whole has nothing to say."""
        last, known = present.window.start_ms, case.segment
        keys = present.loud_of(case) + [k for k in case.keys if known and segment_of(k) == known]
        return (yield from narrowed(present.history, case.onset_ms, last, keys, whole, before=known))

    def told(self, diagnosis: Diagnosis, case: Case, present: Present) -> Generator[None, None, Told]:
        """All texts for a diagnosis."""
        # The numbers of a segment are few, and say nothing of its causes further up.
        # Runs are few and large: nobody shall wait a day for the next one to be told what is likely.
        # What was noticed late has left its evidence already.
        span = diagnosis.residuals.span if diagnosis.residuals is not None else None
        enough = span is not None and span.stop - span.first >= NAMING_WINDOWS
        late = (case.seen >= NAMING_WINDOWS or enough or present.length_ms > 0) and not diagnosis.segment
        sure = diagnosis.cause_probability >= (NAMED if late else SURE)
        named = sure and diagnosis.cause not in (UNKNOWN, CHANCE)
        told = tell(diagnosis, self.pipeline, present.size_ms, named=named)
        yield
        last = present.window.start_ms
        return (yield from placed(told, diagnosis, present.history, case.onset_ms, last))


def severity_of(cause: str, diagnosis: Diagnosis) -> Literal["degraded", "tripped"]:
    """What comes out is said to be wrong only where the cause is sure, and not in one segment alone."""
    if diagnosis.segment:
        return "degraded"
    return CAUSES[cause].severity if diagnosis.cause_probability >= SURE else "degraded"


def parts_of(told: Told, present: Present) -> dict[str, Any]:
    """What a diagnosis, and the window that it is told with, set of an incident."""
    return {
        "stage": told.stage,
        "cause": told.cause,
        "sentence": told.sentence,
        "look_first": told.look_first,
        "evidence": told.evidence,
        "posterior": told.posterior,
        "rivals": told.rivals,
        "follows": told.follows,
        "version": told.version,
        "version_before": told.version_before,
        "version_line": told.version_line,
        "second": told.second,
        "reasons": told.reasons,
        "segment": told.segment,
        "moved": _moved(told, present),
    }


def _moved(told: Told, present: Present) -> tuple[tuple[str, str, float, float], ...]:
    features = present.window.moved.get(told.stage, {})
    return tuple((name, *one) for name, moved in sorted(features.items()) for one in moved[:_MOVED])[:LINES]

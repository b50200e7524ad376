"""The words of which sentences about an incident are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swirl.effect import Evidence

__all__ = ["DOES", "ENDINGS", "EXTRAS", "ONSETS", "phrase"]

ENDINGS = {
    "unversioned_change": ", and no version changed",
    "source_doubled": "; what people do with them does not double",
    "input_drift": "; the records are valid",
    "concept_shift": ", slowly and in every version",
    "downstream_broken": "; everything before is as usual",
    "stage_errors": "; its input is valid",
    "blind": "; whether the others still work cannot be seen",
    "stage_down": "; the stages after it get nothing",
}
"""What ends the sentence of a cause."""

DOES = {
    "invalid_ratio": "rejects {now} of its records",
    "error_ratio": "fails on {now} of its records",
    "output_ratio": "passes on {now} of its records",
    "prediction_ratio": "calls {now} of its records {label}",
    "latency_p50": "takes {now} a record",
}
"""What a version does."""

EXTRAS = {
    "version": "the effect does not follow the version",
    "nothing of its own": "nothing at that stage itself moved",
    "which metric": "the other things that it breaks did not move",
    "labels only": "only the labels moved, nothing in the input",
    "too large for chance": "too large for chance",
    "silence": "emitters are not heard",
    "switches": "it would have to spread by chance",
    "emitters doubled": "the emitters did not double",
    "one window": "one window does not tell a factor",
}
"""Why not, where it is no series that tells two causes apart."""

ONSETS = dict.fromkeys(("concept_shift", "rhythm", "input_drift"), "the change came at once")
"""Why not, where it is the shape of the onset; any other cause comes at once."""


def phrase(line: Evidence) -> str:
    """A figure as the beginning of a sentence."""
    stage, now, usual = line.stage, line.now, line.usual
    bare = now.removesuffix("/s")
    phrases = {
        "records": f"{stage} receives {bare} records/s, usually {usual}",
        "input_ratio": f"{stage} receives {now} times what its parents send, usually {usual}",
        "invalid": f"{stage} rejects {bare} records/s as invalid, usually {usual}",
        "errors": f"{stage} fails on {bare} records/s, usually {usual}",
        "output_ratio": f"{stage} passes on {now} of its records, usually {usual}",
        "prediction_ratio": f"{stage} calls {now} of its records {line.label}, usually {usual}",
        "null_ratio": f"{stage} finds {now} of its feature values null, usually {usual}",
        "drift": f"{stage} sees {line.label} moved by {now}, usually {usual}",
        "latency_p50": f"{stage} takes {now} a record, usually {usual}",
        "count": f"{line.label} at {stage}: {now}, usually {usual}",
        "lag": f"records come {now} late, usually {usual}",
        "emitters": f"{now} of {usual} emitters of {stage} are heard",
    }
    return phrases.get(line.metric, f"{line.name}: {now}, usually {usual}")

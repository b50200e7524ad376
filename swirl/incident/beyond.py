"""What is told where the table of signs has nothing to say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from swirl.effect import Rival, SeriesKey
from swirl.incident.causes import CHANCE, UNKNOWN, called, words_of
from swirl.incident.onset import residual_key
from swirl.incident.text import Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl.incident.diagnose import Diagnosis

__all__ = ["DID_NOT_FINISH", "DID_NOT_RUN", "SLOW_RUN", "as_said", "beyond_diagnosis"]

DID_NOT_RUN, DID_NOT_FINISH, SLOW_RUN = "did not run", "run did not finish", "slow run"

_LOOKS = {
    "limit crossed": "at {stage}: the limit says that it is wrong, not why.",
    "train/serve skew": "at what feeds {stage}, and at the data that its model was made of: they differ.",
    DID_NOT_RUN: "at what starts {stage}: its scheduler, its machine, what it waits for.",
    DID_NOT_FINISH: "at the log of the run: an error that Swirl did not see, its memory, who ended it.",
    SLOW_RUN: "at what {stage} waits for: the machine, a database, a service, more data than usual.",
}

_SERIES = {
    "latency_p95": "the slowest 5 % of its records",
    "observed_drift": "the distribution of {label}",
    "cardinality": "the number of distinct values of {label}",
}


def beyond_diagnosis(key: SeriesKey, diagnosis: Diagnosis) -> Told:
    """A series that the table of signs does not know stays away from normal."""
    what = _SERIES.get(key.metric, key.metric.replace("_", " ")).format(label=key.label)
    where = key.stage or "the pipeline"
    sentence = f"{where}: {what} is not as usual, and nothing else moved. The cause is open."
    return _told(
        words_of(UNKNOWN), key.stage, sentence, "it does not go away", diagnosis, {residual_key(key)}
    )


def as_said(said: Mapping[str, tuple[str, str]], diagnosis: Diagnosis) -> Told:
    """What needs no diagnosis to be told, where the numbers of the windows do not say why it is so.

    Args:
        said: cause and sentence, by stage.
        diagnosis: of the same windows.
    """
    stage = min(said)
    cause, sentence = said[stage]
    more = "".join(f" Also {other}: {text}." for other, (_, text) in sorted(said.items()) if other != stage)
    sentence = f"{stage or 'The pipeline'}: {sentence}.{more}"
    found = _told(cause, stage, sentence, "", diagnosis, set())
    # It is what it says; only why it came to be is open.
    return replace(found, posterior=1.0, rivals=())


def _told(
    cause: str, stage: str, sentence: str, why: str, diagnosis: Diagnosis, covered: set[SeriesKey]
) -> Told:
    where = stage or "the pipeline"
    rival = Rival(words_of(CHANCE), "", round(diagnosis.chance, 6), why)
    return Told(
        cause=cause,
        stage=stage,
        sentence=sentence,
        look_first=_LOOKS.get(cause, called(cause).look).format(stage=where),
        evidence=(),
        follows=(),
        posterior=0.0,
        rivals=(rival,),
        version="",
        version_before="",
        version_line="",
        second="",
        reasons=(),
        moved=0,
        covered=frozenset(covered),
    )

"""Labels and segments are users' data: what is told in their stead where they may not be told. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from swirl.effect import Evidence, Incident

__all__ = ["neutral", "neutral_text"]

_RATIO = re.compile(r"(?:^|(?<=[,:;.(] ))([^,:;.(→]+) ratio(?= (?:[\d<≥]|still |is ))")
"""The name of a ratio where it stands before its number: at a beginning, or in a list."""

_AT_HEAD = re.compile(r"^(.+) ratio(?= (?:[\d<≥]|still |is ))")
"""The same where it begins the text, as in the reason against a rival: a label may hold any character."""

_CALLED = re.compile(
    r"(?<=of its records )(?!one label|label \d)(.+?)(?=, usually |, \S+ [\d.]+ side by side)"
)
"""What a stage calls its records."""

_PLAIN_NUMBER = re.compile(r"[\d.,\s]*\w?")
"""Labels such as ``1`` stand in any sentence for something else; they are looked for in their places only."""


class _Word(NamedTuple):
    """What is withheld, and what is told in its stead alone and before the word "ratio"."""

    text: str
    alone: str
    ratio: str


def neutral(incident: Incident) -> Incident:
    """The incident without labels of predictions, segments, reasons and values of features in its texts.

    The labels stay in :attr:`swirl.effect.Evidence.label`, which no message shows: they say which series a
    chart has to draw.

    Example:
        >>> from swirl.effect import Evidence
        >>> _withhold("classify calls 0.21 of its records spam, usually 0.80.", _words_of(["spam"]))
        'classify calls 0.21 of its records one label, usually 0.80.'
        >>> _withhold("spam ratio 0.80 → 0.21", _words_of(["spam"]))
        'label ratio 0.80 → 0.21'
    """
    words, known = _words(incident), _known(incident)
    texts = {name: _withhold(getattr(incident, name), words, known) for name in _TEXTS}
    replace = msgspec.structs.replace
    return replace(
        incident,
        **texts,
        evidence=tuple(replace(e, name=_withhold(e.name, words)) for e in incident.evidence),
        rivals=tuple(replace(r, why=_without_name(r.why, words, known)) for r in incident.rivals),
        reasons=(),
        moved=(),
        segment="",
    )


def neutral_text(text: str, incident: Incident) -> str:
    """A sentence about an incident without the labels and segments that the incident has."""
    return _withhold(text, _words(incident), _known(incident))


_TEXTS = ("sentence", "look_first", "second", "cost", "version_line")


def _words(incident: Incident) -> list[_Word]:
    labels = dict.fromkeys(label for piece in incident.evidence if (label := _label(piece)))
    segments = dict.fromkeys(s for s in (incident.segment, *map(_segment, incident.evidence)) if s)
    segments.pop("(other)", None)
    named = {incident.pipeline, incident.stage, *incident.follows}
    found = _words_of(list(labels)) + [
        _Word(segment, f"one segment{number}", f"one segment{number}")
        for segment, number in zip(segments, _numbers(len(segments)), strict=True)
    ]
    # Names in the code are no users' data, and mean the stage wherever they stand.
    return sorted((w for w in found if w.text not in named), key=lambda w: -len(w.text))


def _words_of(labels: list[str]) -> list[_Word]:
    if len(labels) == 1:
        return [_Word(labels[0], "one label", "label")]
    return [_Word(label, f"label {n}", f"label {n}") for n, label in enumerate(labels, 1)]


def _numbers(count: int) -> list[str]:
    return [""] if count == 1 else [f" ({n})" for n in range(1, count + 1)]


def _label(piece: Evidence) -> str:
    if piece.metric == "prediction_ratio":
        return piece.label
    if piece.metric == "segment_prediction_ratio":
        return piece.label.partition(": ")[2]
    # That of two versions side by side: "prediction_ratio:positive".
    metric, _, label = piece.label.partition(":")
    return label if piece.metric == "version_contrast" and metric == "prediction_ratio" else ""


def _segment(piece: Evidence) -> str:
    if not piece.metric.startswith("segment_"):
        return ""
    return piece.label.partition(": ")[0] if piece.metric == "segment_prediction_ratio" else piece.label


def _known(incident: Incident) -> frozenset[str]:
    """Names of ratios that are no labels': those of the code."""
    stages = {incident.stage, *incident.follows, *(r.stage for r in incident.rivals)}
    names = {e.name for e in incident.evidence if not _label(e) and not _segment(e)}
    return frozenset(
        names | {f"{stage} output ratio" for stage in stages | {e.stage for e in incident.evidence}}
    )


def _without_name(why: str, words: list[_Word], known: frozenset[str]) -> str:
    """What speaks against a rival; it may begin with the ratio of a label that is not among the evidence."""
    told = _withhold(why, words, known)
    spared = {f"{word.ratio} ratio" for word in words} | known | {"label ratio"}
    return _AT_HEAD.sub(lambda m: m[0] if f"{m[1]} ratio" in spared else "label ratio", told)


def _withhold(text: str, words: list[_Word], known: frozenset[str] = frozenset()) -> str:
    told = text
    marks: dict[str, str] = {}
    for number, word in enumerate(words):
        # A mark that no text has, so that no label is looked for in what stands for another.
        alone, ratio = f"\ue000{number}\ue001", f"\ue000{number}\ue002"
        marks |= {alone: word.alone, ratio: word.ratio}
        plain = re.escape(word.text)
        told = re.sub(rf"(?<!\w){plain}(?= ratio\b)", ratio, told)
        told = re.sub(rf"(?<=of its records ){plain}(?!\w)", alone, told)
        told = re.sub(rf"(?<=segment ){plain}(?!\w)", alone, told)
        if not _PLAIN_NUMBER.fullmatch(word.text):
            told = re.sub(rf"(?<!\w){plain}(?!\w)", alone, told)
    for mark, said in marks.items():
        told = told.replace(mark, said)
    told = told.replace("segment one segment", "one segment")
    # Labels that are not among the evidence: of a rival, or of a series that has calmed down.
    told = _CALLED.sub("one label", told)
    spared = {f"{word.ratio} ratio" for word in words} | known
    return _RATIO.sub(lambda m: m[0] if f"{m[1]} ratio" in spared else "label ratio", told)

"""What the monitor wants done, as values. Engines hand them to sinks; carrying one out twice does no harm.

Every effect has an ``identity`` made of what it is about (pipeline, window, revision, transition), so that
the same log gives the same identities wherever and however often it is read.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from swirl.frame import Definition, Verdict  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "Effect",
    "Evidence",
    "Health",
    "Incident",
    "IncidentChanged",
    "Mute",
    "MuteChanged",
    "Rival",
    "SeriesKey",
    "SeriesPoint",
    "State",
    "Told",
    "Totals",
    "VerdictChanged",
    "WindowClosed",
]


class SeriesKey(NamedTuple):
    """Names a series within its pipeline.

    Attributes:
        stage: the stage, or ``""`` for a ratio across stages.
        metric: ``records``, ``invalid_ratio``, ``prediction_ratio``, ``latency_p95``, ...
        label: the prediction's label, the feature or the custom metric; ``""`` where there is none.
    """

    stage: str
    metric: str
    label: str = ""


class State(IntEnum):
    """How a series stands in a window."""

    UNMEASURED = 0
    """Nothing was measured, or the window was not whole."""
    LEARNING = 1
    NORMAL = 2
    ANOMALY = 3
    """This point raised an alarm."""
    HELD = 4
    """In an incident and still far from normal."""
    CALM = 5
    """In an incident, back within its limits."""


COLUMNS = ("value", "numerator", "denominator", "expected", "low", "high", "evidence")
"""The rows of :attr:`WindowClosed.numbers`."""


class SeriesPoint(NamedTuple):
    """One series in one window, for people and exporters. Rates are per second, NaN is "not known"."""

    key: SeriesKey
    value: float
    numerator: float
    denominator: float
    expected: float
    low: float
    high: float
    evidence: float
    state: State


class Totals(msgspec.Struct, omit_defaults=True):
    """What one version of one stage did since it was first heard of: for counters that only rise.

    Attributes:
        records, invalid, errors, out, predictions: see :class:`swirl.frame.Slice`.
        reasons: invalid records by reason.
        error_types: errors by exception type.
        labels: predictions by label.
        hook_errors: ``valid=``, ``predicts=``, ``features=`` or ``at=`` functions that raised.
        non_finite: numbers that were left out for being infinite or NaN.
        latency_seconds: sum of the time per record.
    """

    records: int = 0
    invalid: int = 0
    errors: int = 0
    out: int = 0
    predictions: int = 0
    reasons: dict[str, int] = {}
    error_types: dict[str, int] = {}
    labels: dict[str, int] = {}
    hook_errors: int = 0
    non_finite: int = 0
    latency_seconds: float = 0.0


class Health(msgspec.Struct, omit_defaults=True):
    """How well Swirl itself sees the pipeline, as counters since the start and states now.

    Attributes:
        frames: that were applied.
        frames_lost: sequence numbers that were skipped; those that came later are ``frames_late``.
        frames_late: frames that came after later ones, and count.
        duplicates: frames that came again and were ignored.
        dropped_records: by emitters for want of space.
        failed_frames: that emitters could not deliver.
        late_records: by cause: ``closed`` (after the window was let go), ``future``, ``revised`` (in time to
            revise).
        emitters: heard and not gone.
        emitters_silent: known, without goodbye, and not heard.
        last_seen_ms: log time of the newest frame.
        watermark_ms: event time up to which windows are closed.
        lag_ms: log time minus newest event time.
        labels_overflowed: records counted under "(other)".
        unreadable: summaries inside frames that could not be read and were left out, and limits beyond the
            200 that are judged, at every window.
        series: that are tracked.
        series_refused: that were left out for being beyond the cap, counted at every window.
        budget_a_week: false alarms promised.
        alarms: that opened or joined incidents, since the start.
        false_alarms_expected: what the thresholds in force would have spent by chance since the start.
        false_alarms: incidents that people called false alarms, since the start.
        budget_spent: alarms of the last seven days that were chance, by the diagnosis or by a person.
        acts_ignored: what people said of incidents that are not known, or without sense, since the start.
        detector_failures: errors that detectors raised, by their name.
        unknown_detectors: that stages ask for and nobody has, or with options that they do not have.
    """

    frames: int = 0
    frames_lost: int = 0
    frames_late: int = 0
    duplicates: int = 0
    dropped_records: int = 0
    failed_frames: int = 0
    late_records: dict[str, int] = {}
    emitters: int = 0
    emitters_silent: int = 0
    last_seen_ms: int = 0
    watermark_ms: int = 0
    lag_ms: int = 0
    labels_overflowed: int = 0
    unreadable: int = 0
    series: int = 0
    series_refused: int = 0
    budget_a_week: float = 0.0
    alarms: int = 0
    false_alarms_expected: float = 0.0
    false_alarms: int = 0
    budget_spent: int = 0
    detector_failures: dict[str, int] = {}
    unknown_detectors: tuple[str, ...] = ()
    acts_ignored: int = 0

    @property
    def budget_left(self) -> float:
        """False alarms that the promise still allows in these seven days; never below 0."""
        return max(0.0, self.budget_a_week - self.budget_spent)

    @property
    def frames_missing(self) -> int:
        """Frames that have not come so far."""
        return self.frames_lost - self.frames_late


class WindowClosed(msgspec.Struct, frozen=True, tag="window"):
    """A window is complete (revision 0), or late records have changed it (1, 2, ...).

    Attributes:
        pipeline: its name.
        start_ms: event time; the window is ``[start_ms, start_ms + window_ms)``.
        window_ms: its length.
        revision: see above. Revised windows are shown, never judged again.
        exposure_ms: how much of the window was covered by emitters.
        whole: it was covered to its full length, so its points were judged.
        keys: the series, in the order of the columns.
        numbers: 64-bit floats, shape ``(len(COLUMNS), len(keys))``, as bytes.
        states: one :class:`State` a series, as bytes.
        definition: the stage graph.
        versions: stage -> versions seen in this window, by records, most first.
        totals: stage -> version -> totals.
        latency: stage -> (median, 0.95 and 0.99 quantile) of this window, seconds.
        health: of the monitoring itself.
    """

    pipeline: str
    start_ms: int
    window_ms: int
    revision: int
    exposure_ms: int
    whole: bool
    keys: tuple[SeriesKey, ...]
    numbers: bytes
    states: bytes
    definition: Definition
    versions: dict[str, tuple[str, ...]]
    totals: dict[str, dict[str, Totals]]
    latency: dict[str, tuple[float, float, float]]
    health: Health

    @property
    def identity(self) -> str:
        """The same for the same window and revision."""
        return f"{self.pipeline}/{self.start_ms}/{self.revision}"

    @property
    def end_ms(self) -> int:
        """First millisecond after the window."""
        return self.start_ms + self.window_ms

    def column(self, name: str) -> NDArray[np.float64]:
        """One of :data:`COLUMNS`, shape ``(len(keys),)``."""
        n = len(self.keys)
        return np.frombuffer(self.numbers, dtype=np.float64, count=n, offset=COLUMNS.index(name) * n * 8)

    def points(self) -> Iterator[SeriesPoint]:
        """The series one by one."""
        table = np.frombuffer(self.numbers, dtype=np.float64).reshape(len(COLUMNS), -1).T.tolist()
        for key, row, state in zip(self.keys, table, self.states, strict=True):
            yield SeriesPoint._make((key, *row, State(state)))

    def point(self, stage: str, metric: str, label: str = "") -> SeriesPoint | None:
        """The point of one series, None where there is none."""
        return next((p for p in self.points() if p.key == (stage, metric, label)), None)


class Evidence(msgspec.Struct, frozen=True):
    """One number that speaks for the diagnosis, then and now.

    Attributes:
        stage, metric, label: the series.
        name: what a person calls it: ``"ingest invalid"``, ``"positive ratio"``.
        usual, now: formatted with their unit, ``"10/s"`` and ``"20 000/s"``; spaces are plain.
        usual_value, now_value: the numbers behind them.
        worst: formatted; only of a resolved incident, otherwise ``""``.
        root: it is of the root stage; the others follow from it.
        onset_ms: start of the window in which it left.
    """

    stage: str
    metric: str
    label: str
    name: str
    usual: str
    now: str
    usual_value: float
    now_value: float
    worst: str = ""
    root: bool = False
    onset_ms: int = 0


class Rival(msgspec.Struct, frozen=True):
    """Another explanation, and what speaks against it.

    Attributes:
        cause: in words, ``"bad deployment"``.
        stage: where, ``""`` for nowhere in particular.
        posterior: its probability, in [0, 1].
        why: the one fact that rules it out, ``"no version changed"``.
    """

    cause: str
    stage: str
    posterior: float
    why: str


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a person is told of an incident, as it stands.

    Attributes:
        id: ``"ads-20261121-031220"``: the pipeline and the onset, UTC.
        pipeline: its name.
        state: ``"open"`` or ``"resolved"``.
        revision: 0 when opened, then 1, 2, ...
        stage: the root stage, ``""`` while it is not known.
        cause: in words: ``"data pipeline broken"``, ``"bad deployment"``, ..., ``"cause unknown"``.
        onset_ms: start of the first anomalous window.
        opened_ms: event time of its opening: the end of the window that showed it.
        resolved_ms: event time of its end, 0 while it is open.
        sentence: stage, verb, number now, usual number.
        look_first: where to look first, and where not; without the words "Look first".
        evidence: the numbers, most telling first.
        follows: stages that suffer from the root.
        version: the version that is to blame, ``""`` for none.
        version_before: the one before it.
        version_line: a sentence about versions, ``""`` where none changed.
        posterior: probability of this cause at this stage, in [0, 1].
        rivals: the other explanations, most probable first.
        windows: how many windows of evidence the diagnosis rests on.
        window_ms: their length.
        preliminary: another window may change the cause.
        second: a second fault that is likely beside the first, as a sentence, ``""`` for none.
        cost: what it cost against the baseline, as a sentence; only of a resolved incident.
        severity: ``"tripped"`` or ``"degraded"``: the verdict it gives.
        segment: in which it happens, or nearly all of it; ``""`` for none in particular.
        reasons: reasons of the invalid records at the root stage and their shares in [0, 1], commonest first.
            They may quote users' data, so they stand in no sentence: each sink shows them only if it is
            allowed to.
        moved: feature, label or interval, its share before and its share now in [0, 1]: what moved most in
            the features of the root stage, new labels first. It is shown as the reasons are.
        acknowledged_by, acknowledged_ms: who is on it, and since when (log time); ``""`` and 0 for nobody.
        snoozed_by, snoozed_until_ms: who wants no news of it, and until when (log time); ``""`` and 0 for
            nobody.
        reopened: how often it came back after it had been resolved.
        ending: why it is over: ``"calm"`` (the series are back), ``"resolved"``, ``"new_normal"``,
            ``"false_alarm"`` (a person said so), ``"adopted"`` (it lasted so long that it is the new normal),
            ``"left"`` (the pipeline runs at other times now); ``""`` while it is open.
        ended_by: the person who said so, ``""`` for nobody; ``why``: in their words.
        judged: what a person said of it: ``"confirmed"``, ``"false_alarm"``, or ``""``.
        muted: there is planned work: it is followed, but nobody is told of this step. What people know of
            ends for them all the same, and so it is not muted then.
    """

    id: str
    pipeline: str
    state: Literal["open", "resolved"]
    revision: int
    stage: str
    cause: str
    onset_ms: int
    opened_ms: int
    sentence: str
    look_first: str
    evidence: tuple[Evidence, ...]
    posterior: float
    rivals: tuple[Rival, ...]
    windows: int
    window_ms: int
    preliminary: bool
    severity: Literal["degraded", "tripped"]
    resolved_ms: int = 0
    follows: tuple[str, ...] = ()
    version: str = ""
    version_before: str = ""
    version_line: str = ""
    second: str = ""
    cost: str = ""
    reasons: tuple[tuple[str, float], ...] = ()
    moved: tuple[tuple[str, str, float, float], ...] = ()
    segment: str = ""
    acknowledged_by: str = ""
    acknowledged_ms: int = 0
    snoozed_by: str = ""
    snoozed_until_ms: int = 0
    reopened: int = 0
    ending: Literal["", "calm", "resolved", "new_normal", "false_alarm", "adopted", "left"] = ""
    ended_by: str = ""
    why: str = ""
    judged: Literal["", "confirmed", "false_alarm"] = ""
    muted: bool = False

    @property
    def title(self) -> str:
        """``"ingest: data pipeline broken"``."""
        return f"{self.stage or self.pipeline}: {self.cause}"


class IncidentChanged(msgspec.Struct, frozen=True, tag="incident"):
    """A step in the life of an incident.

    ``"opened"``, ``"updated"`` (worse, wider, new evidence), ``"acknowledged"``, ``"snoozed"``, ``"woken"``
    (the snooze is over), ``"reopened"`` (it came back soon after its end), ``"resolved"``, ``"judged"`` (a
    person says whether it was true, mostly of a resolved one).
    """

    transition: Literal[
        "opened", "updated", "acknowledged", "snoozed", "woken", "reopened", "resolved", "judged"
    ]
    incident: Incident
    reply: str = ""
    """What is new, one sentence: the text of the thread's reply."""

    @property
    def identity(self) -> str:
        """The same for the same step of the same incident."""
        return f"{self.incident.pipeline}/{self.incident.id}/{self.incident.revision}/{self.transition}"

    @property
    def pipeline(self) -> str:
        """Whose incident it is."""
        return self.incident.pipeline


class Mute(msgspec.Struct, frozen=True, omit_defaults=True):
    """Planned work: what happens is followed, and told when it is over.

    Attributes:
        stage: only this one; ``""``: the whole pipeline.
        since_ms, until_ms: log time.
        who: said so.
        why: in their words.
    """

    stage: str
    since_ms: int
    until_ms: int
    who: str = ""
    why: str = ""


class MuteChanged(msgspec.Struct, frozen=True, tag="mute"):
    """Planned work has begun, or is over.

    Attributes:
        pipeline: its name.
        transition: ``"began"`` or ``"ended"``.
        mute: the work.
        incidents: of ``"ended"``: those that came and went meanwhile. What is still open is told by a step
            of its own.
    """

    pipeline: str
    transition: Literal["began", "ended"]
    mute: Mute
    incidents: tuple[Incident, ...] = ()

    @property
    def identity(self) -> str:
        """The same for the same turn of the same work."""
        return f"{self.pipeline}/mute/{self.mute.stage}/{self.mute.since_ms}/{self.transition}"


class VerdictChanged(msgspec.Struct, frozen=True, tag="verdict"):
    """The pipeline shall know how it stands."""

    pipeline: str
    verdict: Verdict

    @property
    def identity(self) -> str:
        """The same for the same turn of the verdict."""
        return f"{self.pipeline}/{self.verdict.since_ms}/{self.verdict.state}"


Told = IncidentChanged | MuteChanged
"""What people are told, and what waits in outboxes until they were."""

Effect = WindowClosed | IncidentChanged | VerdictChanged | MuteChanged

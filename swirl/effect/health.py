"""What counts on from window to window: the work of the stages, and how well Swirl sees it."""

from __future__ import annotations

import msgspec

__all__ = ["Health", "Totals"]


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

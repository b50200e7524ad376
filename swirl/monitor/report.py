"""What a closed window looks like to sinks: columns, versions, latencies."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from swirl.detector import Kind
from swirl.effect import COLUMNS, SeriesKey, State, WindowClosed
from swirl.series import count_stage, merged_distribution, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from swirl.effect import Health, Totals
    from swirl.frame import Definition
    from swirl.history import StageCounts, WindowCounts
    from swirl.monitor.placing import Complete
    from swirl.monitor.seen import Judged
    from swirl.series import Measured
    from swirl.window import Window

__all__ = ["Columns", "counted", "revised", "told"]


class Columns(NamedTuple):
    """Series side by side.

    Attributes:
        keys: the series.
        numbers: shape ``(len(COLUMNS), len(keys))``.
        states: shape ``(len(keys),)``.
    """

    keys: list[SeriesKey]
    numbers: NDArray[np.float64]
    states: NDArray[np.uint8]

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> Columns:
        """All kinds, one after the other."""
        keys = [key for kind in judged for key in kind.keys]
        if not keys:
            return cls([], np.zeros((len(COLUMNS), 0)), np.zeros(0, np.uint8))
        return cls(
            keys,
            np.concatenate([k.numbers for k in judged], axis=1),
            np.concatenate([k.states for k in judged]),
        )

    def with_shown(self, now: WindowCounts, definition: Definition, exposure_ms: int) -> Columns:
        """The plain rates behind them, with the limits of the series that stand for them."""
        if exposure_ms <= 0:
            return self
        index = {key: column for column, key in enumerate(self.keys)}
        values = dict(zip(self.keys, self.numbers[0].tolist(), strict=True))
        keys, rows, states = [], [], []
        for shown in show(now, definition, values, exposure_ms / 1000):
            column = index.get(shown.judged)
            keys.append(shown.key)
            if column is None:
                rows.append([shown.value, nan, nan, nan, nan, nan, 0.0])
                states.append(State.LEARNING)
            else:
                expected, low, high, evidence = self.numbers[3:, column].tolist()
                factor = shown.factor
                rows.append([shown.value, nan, nan, expected * factor, low * factor, high * factor, evidence])
                states.append(State(int(self.states[column])))
        if not keys:
            return self
        return Columns(
            [*self.keys, *keys],
            np.concatenate([self.numbers, np.array(rows).T], axis=1),
            np.concatenate([self.states, np.array(states, np.uint8)]),
        )


def told(
    pipeline: str,
    complete: Complete,
    now: WindowCounts,
    columns: Columns,
    definition: Definition,
    totals: dict[str, dict[str, Totals]],
    health: Health,
) -> WindowClosed:
    """A window told for the first time.

    Args:
        pipeline: its name.
        complete: the window.
        now: what it counted.
        columns: its series.
        definition: of the pipeline.
        totals: by stage and version, as they are now.
        health: of the pipeline; it is copied.
    """
    window = complete.window
    return WindowClosed(
        pipeline=pipeline,
        start_ms=window.start_ms,
        window_ms=complete.length_ms,
        revision=window.revision,
        exposure_ms=complete.exposure_ms,
        whole=complete.whole,
        keys=tuple(columns.keys),
        numbers=columns.numbers.tobytes(),
        states=columns.states.tobytes(),
        # Sinks have no use for baselines, and these are a hundred times the rest.
        definition=msgspec.structs.replace(definition, references=()),
        versions={s.name: _by_records(now, s.name) for s in definition.stages if s.name in now.stages},
        totals=totals,
        latency=_latencies(window),
        health=msgspec.structs.replace(health, late_records=dict(health.late_records)),
    )


def revised(
    before: WindowClosed, window: Window, now: WindowCounts, measured: Iterable[Measured]
) -> WindowClosed:
    """A window told again: new values, old limits and states."""
    numbers = np.frombuffer(before.numbers).reshape(len(COLUMNS), -1).copy()
    index = {key: column for column, key in enumerate(before.keys)}
    exposure_s = max(window.coverage.length, 1) / 1000
    for point in measured:
        column = index.get(point.key)
        if column is None:
            continue
        if point.kind is Kind.RATIO and point.weight > 0:
            numbers[:3, column] = point.value / point.weight, point.value, point.weight
        elif point.kind is Kind.RATE:
            numbers[:3, column] = point.value / exposure_s, point.value, exposure_s
        elif point.kind is not Kind.DISTRIBUTION:
            numbers[0, column] = point.scale * (
                np.exp(point.rate * point.value) if point.rate else point.value
            )
    for shown in show(now, before.definition, {}, exposure_s):
        if shown.key in index:
            numbers[0, index[shown.key]] = shown.value
    return msgspec.structs.replace(
        before,
        revision=window.revision,
        exposure_ms=window.coverage.length,
        numbers=numbers.tobytes(),
        latency=_latencies(window),
    )


def _by_records(now: WindowCounts, stage: str) -> tuple[str, ...]:
    """The versions of a stage, most records first."""
    versions = now.stages[stage]
    return tuple(sorted(versions, key=lambda version: (-versions[version].records, version)))


def counted(window: Window) -> dict[str, dict[str, StageCounts]]:
    """What each stage and version counted in a window."""
    return {
        stage: {version: count_stage(tally) for version, tally in versions.items()}
        for stage, versions in window.by_stage().items()
    }


def _latencies(window: Window) -> dict[str, tuple[float, float, float]]:
    """Stage -> median, 0.95 and 0.99 quantile of the time per record, seconds."""
    found = {}
    for stage, versions in window.by_stage().items():
        whole = merged_distribution(versions, "latency")
        if whole is not None and whole.count:
            found[stage] = (whole.quantile(0.5), whole.quantile(0.95), whole.quantile(0.99))
    return found

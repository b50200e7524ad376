"""Swirl itself: can I trust the other two boards? Is it blind, is it late, does it lose, is it heavy?"""
# The folder holds Grafana's files, it is no package.
# ruff: noqa: INP001

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.boards.parts import (
    FOLLOWS,
    GREY,
    OUT,
    Line,
    board,
    heat,
    lines,
    marked,
    number,
    rows,
    steps,
    to_pipeline,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries
    from grafana_foundation_sdk.builders.dashboard import Dashboard

__all__ = ["itself"]

_JOB = 'job=~"swirl.*"'


def itself() -> Dashboard:
    """For the engineer who keeps Swirl up."""
    made = board("Swirl itself", "swirl-self", "Can I trust the other two boards?")
    blind, late, losing = (_heard(), _silence()), (_lost(), _behind(), _delay()), (_outbox(), _late())
    heavy = (_snapshot_age(), _snapshot_bytes(), _apply(), _series(), _overflow())
    for panel in (*blind, *late, *losing, *heavy, _refused(), _owners(), _cpu(), _memory(), _restarts()):
        made = made.with_panel(panel)
    return made


def _heard() -> stat.Panel:
    asks = (
        "Is anyone out there who does not speak? Missing is not zero: an emitter that went without goodbye."
    )
    shown = [
        Line("max by (pipeline) (swirl_emitters)", "{{pipeline}} heard"),
        Line("max by (pipeline) (swirl_emitters_silent)", "{{pipeline}} silent"),
    ]
    panel = number("Emitters", asks, shown, "short").span(6).height(4).thresholds(steps({}, GREY))
    wrong = {"mode": "absolute", "steps": [{"color": GREY, "value": None}, {"color": OUT, "value": 1}]}
    return panel.override_by_query("B", [DynamicConfigValue("thresholds", wrong)])


def _silence() -> stat.Panel:
    asks = "How long has the quietest pipeline been silent? Heartbeats come every second."
    expr = "max(time() - max by (pipeline) (swirl_emitter_last_seen_timestamp_seconds))"
    panel = number("Oldest silence", asks, [Line(expr, "silent for")], "s")
    return panel.thresholds(steps({5: FOLLOWS, 15: OUT}, GREY)).span(6).height(4)


def _lost() -> timeseries.Panel:
    asks = (
        "Does what arrives equal what was sent? From the host to its buffer records may be lost by "
        "design, so the loss must be seen."
    )
    frames = "rate(swirl_frames_lost_total[5m]) - rate(swirl_frames_late_total[5m])"
    shown = [
        Line(f"clamp_min(sum by (pipeline) ({frames}), 0)", "{{pipeline}} frames"),
        Line("sum by (pipeline) (rate(swirl_emitter_dropped_records_total[5m]))", "{{pipeline}} records"),
    ]
    return lines("Lost on the way", asks, shown, "cps", legend_of=True).min(0).span(12).height(4)


def _behind() -> timeseries.Panel:
    asks = (
        "Does the worker keep up? A late alarm is a missed one. The watermark shows a worker that is stuck "
        "even where nothing waits."
    )
    shown = [
        Line("max by (pipeline) (swirl_lag_seconds)", "{{pipeline}} lag"),
        Line("time() - max by (pipeline) (swirl_watermark_timestamp_seconds)", "{{pipeline}} watermark"),
    ]
    panel = lines("Behind the log", asks, shown, "s", legend_of=True).min(0).span(12).height(6)
    return marked(panel, {10: FOLLOWS, 60: OUT}).data_links([to_pipeline()])


def _delay() -> heatmap.Panel:
    asks = (
        "How late does a person hear of it? From the end of the window that opened or ended an incident "
        "until its sink had told it: lateness, diagnosis, outbox and Slack together."
    )
    line = Line("sum by (le) (increase(swirl_notification_delay_seconds_bucket[5m]))")
    return heat("From the window's end to people", asks, line, "s").span(12).height(6)


def _outbox() -> timeseries.Panel:
    asks = "Does a sink refuse? A 429 of Slack shows here first, as retries and as what waits."
    shown = [
        Line("sum by (sink) (swirl_sink_pending)", "{{sink}} waits"),
        Line("sum by (sink, outcome) (rate(swirl_sink_effects_total[5m]))", "{{sink}} {{outcome}} a second"),
        Line("sum by (sink) (rate(swirl_sink_retries_total[5m]))", "{{sink}} retried a second"),
    ]
    panel = lines("Outbox", asks, shown, "short", legend_of=True).min(0).span(8).height(6)
    return marked(panel, {10: OUT})


def _late() -> timeseries.Panel:
    asks = "Is the lateness set right? Too short loses records, too long delays alarms: tune by this number."
    late, all_of = "rate(swirl_late_records_total[5m])", "rate(swirl_records_total[5m])"
    expr = f"sum by (pipeline, cause) ({late}) / ignoring (cause) group_left sum by (pipeline) ({all_of})"
    panel = lines("Late records", asks, [Line(expr, "{{pipeline}} {{cause}}")], "percentunit", legend_of=True)
    return marked(panel, {0.01: FOLLOWS}).min(0).span(8).height(6)


def _snapshot_age() -> timeseries.Panel:
    asks = (
        "How much would a restart fold again? Frames are acknowledged only after a snapshot: if it stops, "
        "all stops. Of a pipeline that sends nothing any more it grows, and that is no fault."
    )
    expr = "time() - min by (instance) (swirl_oldest_snapshot_timestamp_seconds)"
    panel = lines("Age of the oldest snapshot", asks, [Line(expr, "{{instance}}")], "s", legend_of=True)
    return marked(panel, {60: FOLLOWS, 300: OUT}).min(0).span(8).height(6)


def _snapshot_bytes() -> timeseries.Panel:
    asks = (
        "What does state cost Kafka? It grows only when series grow; growth at a constant number is a leak."
    )
    shown = [Line("sum by (instance) (rate(swirl_snapshot_bytes_total[5m]))", "{{instance}}")]
    return lines("Snapshots written", asks, shown, "Bps", legend_of=True).min(0).span(6).height(6)


def _apply() -> timeseries.Panel:
    buckets = "sum by (le) (rate(swirl_apply_duration_seconds_bucket[5m]))"
    shown = [Line(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in (0.5, 0.95)]
    asks = "What does a frame cost? Longer folds at a constant number of series are a fault of ours."
    return lines("Time to fold a frame", asks, shown, "s", legend_of=True).min(0).span(6).height(6)


def _series() -> stat.Panel:
    asks = "How much does Swirl follow? What one pipeline may have is bounded by SWIRL_SERIES."
    shown = [Line("sum by (pipeline) (max without (instance) (swirl_series))", "{{pipeline}}")]
    return number("Series", asks, shown, "short").thresholds(steps({}, GREY)).span(6).height(6)


def _overflow() -> stat.Panel:
    asks = (
        "Did someone put a user's id into a label? Records counted under (other), and series left out, in an "
        "hour. Caps keep Swirl alive; whoever hits one must know."
    )
    shown = [
        Line("sum by (pipeline) (increase(swirl_labels_overflowed_total[1h]))", "{{pipeline}} (other)"),
        Line("sum by (pipeline) (increase(swirl_series_refused_total[1h]))", "{{pipeline}} left out"),
    ]
    panel = number("Beyond the caps", asks, shown, "short").decimals(0)
    return panel.thresholds(steps({1: FOLLOWS}, GREY)).span(6).height(6)


def _refused() -> table.Panel:
    asks = "What could not be read? A mismatch of schemas after an upgrade is silent anywhere else."
    # A counter that begins above zero has no increase yet.
    new = "swirl_frames_refused_total unless swirl_frames_refused_total offset 1h"
    expr = f"sum by (cause) (increase(swirl_frames_refused_total[1h]) > 0 or ({new}))"
    line = Line(expr, "records in an hour")
    return rows("Frames refused", asks, [line], "Every frame was read.").decimals(0).span(12).height(5)


def _owners() -> table.Panel:
    asks = "Who watches what, and how often was the work dealt out anew? A local watch has no row."
    columns = [
        Line("max by (instance) (swirl_worker_partitions)", "partitions"),
        Line("max by (instance) (swirl_worker_pipelines)", "pipelines"),
        Line("max by (instance) (increase(swirl_rebalances_total[1h]))", "rebalances in an hour"),
    ]
    return rows("Workers", asks, columns, "There is no worker.").decimals(0).span(12).height(5)


def _cpu() -> timeseries.Panel:
    shown = [Line(f"rate(process_cpu_seconds_total{{{_JOB}}}[5m])", "{{instance}}")]
    asks = "Is the worker busy? One core is all that it can use."
    return lines("CPU", asks, shown, "short", legend_of=True).min(0).span(8).height(5)


def _memory() -> timeseries.Panel:
    shown = [Line(f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}")]
    asks = "Does memory grow? It depends on the number of series, and on nothing that goes on for ever."
    return lines("Memory", asks, shown, "bytes", legend_of=True).min(0).span(8).height(5)


def _restarts() -> stat.Panel:
    asks = (
        "Does it begin anew? The watchdog ends a worker that is stuck; here one sees how often, in an hour."
    )
    shown = [Line(f"changes(process_start_time_seconds{{{_JOB}}}[1h])", "{{instance}}")]
    panel = number("Restarts", asks, shown, "short").decimals(0)
    return panel.thresholds(steps({1: FOLLOWS, 3: OUT}, GREY)).span(8).height(5)

"""One pipeline: what broke, and where? What Swirl says, then the series in the order in which records flow.

Value lines show ``swirl_series_value``, the very point that the detector judged, and the bands are its alarm
limits: picture and incident agree to the window. A band from the mean of the last hour would learn the fault.
"""
# Builders take booleans by position (FBT003); the folder holds Grafana's files, it is no package (INP001).
# ruff: noqa: FBT003, INP001

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import Row
from grafana_foundation_sdk.models.common import GraphDrawStyle, StackingMode
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.boards.parts import (
    BAND,
    OUT,
    SOURCE,
    STATES,
    Line,
    board,
    dashed,
    lines,
    marked,
    no_legend,
    query,
    rows,
    symlog,
    to_page,
    variable,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table
    from grafana_foundation_sdk.builders.dashboard import Dashboard

__all__ = ["one_pipeline"]

_OF, _AT = 'pipeline="$pipeline"', 'pipeline="$pipeline", stage=~"$stage"'
_PAGE = "$pipeline"


def one_pipeline() -> Dashboard:
    """For the data scientist in the morning."""
    made = board("One pipeline", "swirl-pipeline", "What broke, and where?")
    made = made.with_variable(variable("pipeline", "label_values(swirl_pipeline_info, pipeline)"))
    stages = variable("stage", f"label_values(swirl_records_total{{{_OF}}}, stage)")
    made = made.with_variable(stages.multi(True).include_all(True).all_value(".*"))
    for panel in (_says(), _told(), _evidence(), _flow(), _ratios(), _drift(), _versions()):
        made = made.with_panel(panel)
    # Panels that follow an open row belong to it, and are repeated with it.
    made = made.with_row(Row("$stage").repeat("stage"))
    for panel in (_invalid(), _reasons(), _predictions(), _latency(), _errors()):
        made = made.with_panel(panel)
    return made


def _says() -> table.Panel:
    expr = f"sort_desc(max by (stage, cause) (swirl_cause_posterior_ratio{{{_OF}}}) > 0.001)"
    asks = "Which stage is the root, and how sure is it? The causes that it weighs, as on Swirl's page."
    panel = rows("What Swirl says", asks, [Line(expr, "likely")], "All series are inside their bands.")
    panel = panel.override_by_name("likely", [DynamicConfigValue("unit", "percentunit")])
    return panel.span(12).height(5).data_links([to_page(_PAGE)])


def _told() -> statetimeline.Panel:
    degraded, tripped = (f'max(swirl_verdict{{{_OF}, state="{of}"}})' for of in ("degraded", "tripped"))
    panel = statetimeline.Panel().title("What the pipeline is told").datasource(SOURCE)
    panel = panel.description("Since when is it told to stop, or to take care, and for how long?")
    panel = panel.with_target(query(Line(f"{degraded} + 2 * {tripped}", "verdict"), "A"))
    panel = panel.mappings([STATES]).unit("none").span(12).height(5).legend(no_legend())
    return panel.data_links([to_page(_PAGE)])


def _evidence() -> timeseries.Panel:
    shown = [Line(_most(f"swirl_series_evidence_ratio{{{_OF}}}"), "{{stage}} {{metric}} {{label}}")]
    asks = (
        "Which series left first? At 1 a series raises its alarm; the order of the crossings tells the root."
    )
    panel = lines("Evidence", asks, shown, "percentunit", legend_of=True)
    return marked(panel, {1: OUT}).min(0).span(24).height(8)


def _flow() -> timeseries.Panel:
    shown = [Line(_most(f'swirl_series_value{{{_OF}, metric="records"}}'), "{{stage}}")]
    asks = (
        "Where does the flow stop? Parallel lines are health; where two part is the stage that loses records."
    )
    panel = lines("Records through each stage", asks, shown, "cps", legend_of=True)
    return symlog(panel).span(12).height(7)


def _ratios() -> timeseries.Panel:
    asks = "Does what follows come out as usual? Ratios across stages, such as clicks per ad."
    panel = lines("Ratios across stages", asks, _banded("ratio", "{{label}}", _OF), "none", legend_of=True)
    return panel.span(12).height(7)


def _drift() -> timeseries.Panel:
    which = f'{_OF}, metric=~".*drift"'
    shown = [
        Line(_most(f"swirl_series_value{{{which}}}"), "{{stage}} {{label}}"),
        Line(_most(f"swirl_series_high{{{which}}}"), "limit of {{stage}} {{label}}"),
    ]
    asks = (
        "Did the inputs move more than the sample size explains? There is no line at 0.1 or 0.2: the limit "
        "follows from the counts."
    )
    panel = lines("Drift by feature", asks, shown, "none", legend_of=True).min(0).span(12).height(7)
    return panel.override_by_regexp("/^limit of/", dashed())


def _versions() -> timeseries.Panel:
    rate = f'rate(swirl_version_predictions_total{{{_AT}, label!=""}}[$__rate_interval])'
    whole = f"on (stage, version) group_left () (sum by (stage, version) ({rate}) > 0)"
    expr = f"sum by (stage, version, label) ({rate}) / {whole}"
    asks = (
        "Is it the deployment? While an old and a new version run side by side, this panel settles the case."
    )
    shown = [Line(expr, "{{stage}} {{version}} {{label}}")]
    panel = lines("The same ratio, version by version", asks, shown, "none", legend_of=True)
    return panel.min(0).max(1).span(12).height(7)


def _invalid() -> timeseries.Panel:
    asks = "Does the stage reject more than usual? The band is what it may reject without an alarm."
    return symlog(_band(lines("Invalid", asks, _banded("invalid"), "cps"))).span(8).height(7)


def _reasons() -> timeseries.Panel:
    rate = f"sum by (reason) (rate(swirl_invalid_records_total{{{_AT}}}[$__rate_interval]))"
    asks = (
        "What is wrong with the data? One reason at 99 % is a broken feed; ten reasons are a broken parser."
    )
    panel = lines(
        "Rejected: the reasons", asks, [Line(f"topk(5, {rate} > 0)", "{{reason}}")], "cps", legend_of=True
    )
    stacking = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    return panel.stacking(stacking).fill_opacity(15).min(0).span(8).height(7)


def _predictions() -> timeseries.Panel:
    asks = "Does the model answer as it used to? A bug in a new model shows here and nowhere else."
    shown = _banded("prediction_ratio", "{{label}}")
    panel = lines("Predictions by label", asks, shown, "none", legend_of=True)
    return panel.min(0).max(1).decimals(2).span(8).height(7)


def _latency() -> timeseries.Panel:
    now = _most(f'swirl_stage_latency_seconds{{{_AT}, quantile="0.95"}}')
    asks = "Is the stage slow? The quantile is that of the window's sketch; quantiles are not averaged."
    shown = [Line(now, "now"), *_banded("latency_p95")[1:]]
    return _band(lines("p95 latency", asks, shown, "s")).min(0).span(12).height(6)


def _errors() -> timeseries.Panel:
    expr = f"sum by (stage) (rate(swirl_stage_errors_total{{{_AT}}}[$__rate_interval]))"
    asks = "Does the code raise? Exceptions are not invalid records; mixing them hides both."
    panel = lines("Errors", asks, [Line(expr, "{{stage}}")], "cps")
    return panel.draw_style(GraphDrawStyle.BARS).fill_opacity(50).line_color(OUT).min(0).span(12).height(6)


def _most(expr: str) -> str:
    """The same whichever worker exports it, and one line while the pipeline changes hands."""
    return f"max without (instance) ({expr})"


def _banded(metric: str, name: str = "", where: str = _AT) -> list[Line]:
    """Value, low and high of a metric, each called what it is."""
    which = f'{where}, metric="{metric}"'
    return [
        Line(_most(f"swirl_series_value{{{which}}}"), name or "now"),
        Line(_most(f"swirl_series_low{{{which}}}"), f"low {name}".strip()),
        Line(_most(f"swirl_series_high{{{which}}}"), f"high {name}".strip()),
    ]


def _band(panel: timeseries.Panel) -> timeseries.Panel:
    """The grey band between the limits of the one series of a panel; its edges are not drawn."""
    edge = [
        DynamicConfigValue("custom.lineWidth", 0),
        DynamicConfigValue("color", {"mode": "fixed", "fixedColor": BAND}),
    ]
    fill = [DynamicConfigValue("custom.fillBelowTo", "low"), DynamicConfigValue("custom.fillOpacity", 15)]
    return panel.override_by_name("low", edge).override_by_name("high", [*edge, *fill])

"""Writes the dashboards from code: ``python grafana/build.py``; the JSON beside it is committed.

Value lines show ``swirl_series_value``, the very point that the detector judged, and the bands are its alarm
limits: picture and incident agree to the window. Healthy is grey; whatever has colour is wrong.
"""
# Builders take booleans by position (FBT003); the folder holds Grafana's files, it is no package (INP001).
# ruff: noqa: FBT003, INP001

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from grafana_foundation_sdk.builders import common, prometheus, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    FieldColor,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    AxisPlacement,
    GraphDrawStyle,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ANNOTATIONS", "as_json", "expressions", "one_pipeline"]

SOURCE = DataSourceRef(type_val="prometheus", uid="swirl-prometheus")
FOLDER = Path(__file__).parent / "dashboards"
GREY, BAND, OUT, FOLLOWS = "text", "#808080", "#D9480F", "#B7791F"
OF, AT = 'pipeline="$pipeline"', 'pipeline="$pipeline", stage=~"$stage"'


class Line(NamedTuple):
    """An expression and what its line is called."""

    expr: str
    name: str = ""


class Marker(NamedTuple):
    """An annotation: its expression, and the text of its mark."""

    expr: str
    title: str
    color: str


ANNOTATIONS = {
    # A version that runs now and did not half a minute ago, at a stage that did run then.
    "deployments": Marker(
        f"(swirl_stage_version_info{{{OF}}} unless swirl_stage_version_info{{{OF}}} offset 30s)"
        f" and on (pipeline, stage) swirl_stage_version_info{{{OF}}} offset 30s",
        "▼ {{version}}",
        GREY,
    ),
    "incidents": Marker(f"swirl_incident_open{{{OF}}} == 1", "◆ {{stage}}: {{cause}}", OUT),
}


def one_pipeline() -> Dashboard:
    """What broke and where: what Swirl says, then the series in the order in which records flow."""
    board = Dashboard("One pipeline").uid("swirl-pipeline").tags(["swirl"]).timezone("utc")
    board = board.refresh("5s").time("now-30m", "now").tooltip(DashboardCursorSync.TOOLTIP).readonly()
    board = board.with_variable(_variable("pipeline", "label_values(swirl_pipeline_info, pipeline)"))
    stages = _variable("stage", f"label_values(swirl_records_total{{{OF}}}, stage)")
    board = board.with_variable(stages.multi(True).include_all(True).all_value(".*"))
    for name, marker in ANNOTATIONS.items():
        board = board.annotation(
            AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(marker.color)
        )
    for panel in (_says(), _told(), _evidence(), _flow(), _ratios(), _drift(), _versions()):
        board = board.with_panel(panel)
    # Panels that follow an open row belong to it, and are repeated with it.
    board = board.with_row(Row("$stage").repeat("stage"))
    for panel in (_invalid(), _reasons(), _predictions(), _latency(), _errors()):
        board = board.with_panel(panel)
    return board


def as_json(board: Dashboard) -> str:
    """The dashboard as Grafana reads it."""
    model: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    for annotation in model["annotations"]["list"]:
        # Fields that Grafana has and the builder has not.
        marker = ANNOTATIONS[annotation["name"]]
        annotation |= {"expr": marker.expr, "titleFormat": marker.title, "step": "5s"}
    for number, panel in enumerate(_panels(model), 1):
        panel["id"] = number
    return json.dumps(model, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def expressions(model: dict[str, Any]) -> list[str]:
    """Every expression of a dashboard: of its panels and of its annotations."""
    found = [target["expr"] for panel in _panels(model) for target in panel.get("targets", [])]
    return found + [annotation["expr"] for annotation in model["annotations"]["list"]]


def _panels(model: dict[str, Any]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = model["panels"]
    return panels


def _says() -> table.Panel:
    expr = f"sort_desc(max by (stage, cause) (swirl_cause_posterior_ratio{{{OF}}}) > 0.001)"
    query = (
        prometheus.Dataquery()
        .expr(expr)
        .instant()
        .format(PromQueryFormat.TABLE)
        .ref_id("A")
        .datasource(SOURCE)
    )
    panel = table.Panel().title("What Swirl says").description("Which stage is the root, and how sure is it?")
    panel = (
        panel.datasource(SOURCE)
        .with_target(query)
        .span(12)
        .height(5)
        .no_value("All series are inside their bands.")
    )
    hidden = [DynamicConfigValue("custom.hidden", value=True)]
    likely = [DynamicConfigValue("displayName", "likely"), DynamicConfigValue("unit", "percentunit")]
    return panel.override_by_name("Time", hidden).override_by_name("Value", likely)


def _told() -> statetimeline.Panel:
    degraded, tripped = (f'swirl_verdict{{{OF}, state="{state}"}}' for state in ("degraded", "tripped"))
    words = {"0": ("○ healthy", BAND), "1": ("◇ degraded", FOLLOWS), "2": ("◆ tripped", OUT)}
    mapping = ValueMap(
        {value: ValueMappingResult(text=text, color=color) for value, (text, color) in words.items()}
    )
    panel = (
        statetimeline.Panel().title("What the pipeline is told").description("Since when, and for how long?")
    )
    panel = panel.datasource(SOURCE).with_target(
        _query(Line(f"max({degraded}) + 2 * max({tripped})", "verdict"), "A")
    )
    return panel.mappings([mapping]).span(12).height(5).legend(_no_legend())


def _evidence() -> timeseries.Panel:
    lines = [Line(f"swirl_series_evidence_ratio{{{OF}}}", "{{stage}} {{metric}} {{label}}")]
    panel = _lines(
        "Evidence",
        "Which series left first? At 1 a series raises its alarm.",
        lines,
        "percentunit",
        legend=True,
    )
    panel = panel.thresholds(_threshold(1)).min(0).span(24).height(8)
    return panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE))


def _flow() -> timeseries.Panel:
    lines = [Line(f'swirl_series_value{{{OF}, metric="records"}}', "{{stage}}")]
    panel = _lines("Records through each stage", "Where does the flow stop?", lines, "cps", legend=True)
    return _symlog(panel).span(12).height(7)


def _ratios() -> timeseries.Panel:
    lines = _banded("ratio", name="{{label}}", where=OF)
    return (
        _lines("Ratios across stages", "Does what follows come out as usual?", lines, "none", legend=True)
        .span(12)
        .height(7)
    )


def _drift() -> timeseries.Panel:
    which = f'{OF}, metric=~".*drift"'
    lines = [
        Line(f"swirl_series_value{{{which}}}", "{{stage}} {{label}}"),
        Line(f"swirl_series_high{{{which}}}", "limit of {{stage}} {{label}}"),
    ]
    asks = "Did the inputs move more than the sample size explains?"
    panel = _lines("Drift by feature", asks, lines, "none", legend=True).min(0).span(12).height(7)
    return panel.override_by_regexp("/^limit of/", _dashed())


def _versions() -> timeseries.Panel:
    rate = f'rate(swirl_predictions_total{{{AT}, label!=""}}[$__rate_interval])'
    whole = f"on (stage, version) group_left sum by (stage, version) ({rate})"
    expr = f"sum by (stage, version, label) ({rate}) / {whole}"
    lines = [Line(expr, "{{stage}} {{version}} {{label}}")]
    panel = _lines("The same ratio, version by version", "Is it the deployment?", lines, "none", legend=True)
    return panel.min(0).max(1).span(12).height(7)


def _invalid() -> timeseries.Panel:
    panel = _lines("Invalid", "Does the stage reject more than usual?", _banded("invalid"), "cps")
    return _symlog(_band(panel)).span(8).height(7)


def _reasons() -> timeseries.Panel:
    expr = f"topk(5, sum by (reason) (rate(swirl_invalid_records_total{{{AT}}}[$__rate_interval])) > 0)"
    panel = _lines(
        "Rejected: the reasons",
        "What is wrong with the data?",
        [Line(expr, "{{reason}}")],
        "cps",
        legend=True,
    )
    stacking = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    return panel.stacking(stacking).fill_opacity(15).min(0).span(8).height(7)


def _predictions() -> timeseries.Panel:
    lines = _banded("prediction_ratio", name="{{label}}")
    panel = _lines("Predictions by label", "Does the model answer as it used to?", lines, "none", legend=True)
    return panel.min(0).max(1).decimals(2).span(8).height(7)


def _latency() -> timeseries.Panel:
    lines = [
        Line(f'swirl_stage_latency_seconds{{{AT}, quantile="0.95"}}', "now"),
        *_banded("latency_p95")[1:],
    ]
    return _band(_lines("p95 latency", "Is the stage slow?", lines, "s")).min(0).span(12).height(6)


def _errors() -> timeseries.Panel:
    expr = f"sum by (stage) (rate(swirl_stage_errors_total{{{AT}}}[$__rate_interval]))"
    panel = _lines("Errors", "Does the code raise?", [Line(expr, "{{stage}}")], "cps")
    return panel.draw_style(GraphDrawStyle.BARS).fill_opacity(50).line_color(OUT).min(0).span(12).height(6)


def _banded(metric: str, *, name: str = "", where: str = AT) -> list[Line]:
    """Value, low and high of a metric, each called what it is."""
    which = f'{where}, metric="{metric}"'
    return [
        Line(f"swirl_series_value{{{which}}}", name or "now"),
        Line(f"swirl_series_low{{{which}}}", f"low {name}".strip()),
        Line(f"swirl_series_high{{{which}}}", f"high {name}".strip()),
    ]


def _lines(
    title: str, asks: str, lines: Sequence[Line], unit: str, *, legend: bool = False
) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).description(asks).datasource(SOURCE).unit(unit).line_width(1)
    panel = panel.fill_opacity(0).show_points(VisibilityMode.NEVER).axis_placement(AxisPlacement.LEFT)
    panel = panel.span_nulls(False).tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    panel = panel.legend(_legend() if legend else _no_legend())
    if not legend:
        panel = panel.color_scheme(FieldColor().mode(FieldColorModeId.FIXED).fixed_color(GREY))
    for line, ref in zip(lines, "ABCDEF", strict=False):
        panel = panel.with_target(_query(line, ref))
    return panel.override_by_regexp("/^(low|high) /", _dashed())


def _band(panel: timeseries.Panel) -> timeseries.Panel:
    """The grey band between the limits of the one series of a panel; its edges are not drawn."""
    edge = [
        DynamicConfigValue("custom.lineWidth", 0),
        DynamicConfigValue("color", {"mode": "fixed", "fixedColor": BAND}),
    ]
    fill = [DynamicConfigValue("custom.fillBelowTo", "low"), DynamicConfigValue("custom.fillOpacity", 15)]
    return panel.override_by_name("low", edge).override_by_name("high", [*edge, *fill])


def _dashed() -> list[DynamicConfigValue]:
    style = {"fill": "dash", "dash": [4, 4]}
    grey = {"mode": "fixed", "fixedColor": BAND}
    return [DynamicConfigValue("custom.lineStyle", style), DynamicConfigValue("color", grey)]


def _symlog(panel: timeseries.Panel) -> timeseries.Panel:
    scale = common.ScaleDistributionConfig().type(ScaleDistribution.SYMLOG).log(10).linear_threshold(1)
    return panel.scale_distribution(scale)


def _threshold(value: float) -> ThresholdsConfig:
    steps = [Threshold(value=None, color="transparent"), Threshold(value=value, color=OUT)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _query(line: Line, ref: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery().expr(line.expr).legend_format(line.name).range().ref_id(ref).datasource(SOURCE)
    )


def _variable(name: str, query: str) -> QueryVariable:
    return QueryVariable(name).datasource(SOURCE).query(query).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.RIGHT)
    return legend.show_legend(True).calcs(["lastNotNull"])


def _no_legend() -> common.VizLegendOptions:
    return common.VizLegendOptions().display_mode(LegendDisplayMode.HIDDEN).show_legend(False)


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "one-pipeline.json").write_text(as_json(one_pipeline()), encoding="utf-8")


if __name__ == "__main__":
    main()

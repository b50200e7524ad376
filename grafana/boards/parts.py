"""What the boards are made of: queries, panels of each kind, colours, links and marks.

Healthy is grey; whatever has colour is wrong. A gap means silence, zero means zero.
"""
# Builders take booleans by position (FBT003); the folder holds Grafana's files, it is no package (INP001).
# ruff: noqa: FBT003, INP001

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    FieldColor,
    QueryVariable,
    TextBoxVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.common import (
    AxisPlacement,
    BigValueColorMode,
    BigValueGraphMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
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
    from collections.abc import Mapping, Sequence

__all__ = [
    "ANNOTATIONS",
    "BAND",
    "FOLLOWS",
    "GREY",
    "OUT",
    "SOURCE",
    "STATES",
    "Line",
    "Marker",
    "board",
    "dashed",
    "heat",
    "legend",
    "lines",
    "marked",
    "no_legend",
    "number",
    "query",
    "rows",
    "steps",
    "symlog",
    "to_page",
    "to_pipeline",
    "variable",
]

SOURCE = DataSourceRef(type_val="prometheus", uid="swirl-prometheus")
GREY, BAND, OUT, FOLLOWS = "text", "#808080", "#D9480F", "#B7791F"
_PAGE = "http://localhost:9464"


class Line(NamedTuple):
    """An expression and what its line, or its column, is called."""

    expr: str
    name: str = ""


class Marker(NamedTuple):
    """An annotation: its expression, and the text of its mark. ``OF`` stands for the pipelines of a board."""

    expr: str
    title: str
    color: str


_VERSIONS = "max by (pipeline, stage, version) (swirl_stage_version_info{OF})"
_BEFORE = "max_over_time(swirl_stage_version_info{OF}[1m] offset 30s)"
ANNOTATIONS = {
    # A version that runs now and did not in the minute before, at a stage that did run then.
    "deployments": Marker(
        f"({_VERSIONS} unless on (pipeline, stage, version) {_BEFORE}) and on (pipeline, stage) {_BEFORE}",
        "▼ {{pipeline}} {{stage}}: {{version}}",
        GREY,
    ),
    "incidents": Marker(
        "max by (pipeline, stage, cause) (swirl_incident_open{OF}) == 1",
        "◆ {{pipeline}} {{stage}}: {{cause}}",
        OUT,
    ),
}

STATES = ValueMap(
    {
        "0": ValueMappingResult(text="○ healthy", color=BAND),
        "1": ValueMappingResult(text="◇ degraded", color=FOLLOWS),
        "2": ValueMappingResult(text="◆ tripped", color=OUT),
    }
)


# -- boards


def board(title: str, uid: str, description: str) -> Dashboard:
    """An empty board with what all have: time, marks, links to the others and to Swirl's page."""
    made = Dashboard(title).uid(uid).description(description).tags(["swirl"]).timezone("utc")
    made = made.refresh("5s").time("now-30m", "now").tooltip(DashboardCursorSync.TOOLTIP).readonly()
    page = TextBoxVariable("swirl_url").label("Swirl's page").default_value(_PAGE)
    page = page.description("Where people reach Swirl's own page (SWIRL_URL): incidents link there.")
    made = made.with_variable(page)
    others = DashboardLink("Swirl").type(DashboardLinkType.DASHBOARDS).tags(["swirl"])
    made = made.link(others.as_dropdown(False).keep_time(True).include_vars(True))
    made = made.link(
        DashboardLink("Page").type(DashboardLinkType.LINK).url("${swirl_url}").target_blank(True)
    )
    for name, marker in ANNOTATIONS.items():
        made = made.annotation(
            AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(marker.color)
        )
    return made


def variable(name: str, expr: str) -> QueryVariable:
    """A variable of a board, whose values Prometheus knows."""
    made = QueryVariable(name).datasource(SOURCE).query(expr)
    return made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def to_pipeline(name: str = "${__field.labels.pipeline}") -> DashboardLink:
    """From something that has a pipeline to its board."""
    kept = "${__url_time_range}&var-swirl_url=${swirl_url}"
    url = f"/d/swirl-pipeline/one-pipeline?var-pipeline={name}&{kept}"
    return DashboardLink("Its board").url(url)


def to_page(name: str) -> DashboardLink:
    """From a pipeline to Swirl's page, where its open incident stands first."""
    url = f"${{swirl_url}}/pipelines/{name}"
    return DashboardLink("Its incident, on Swirl's page").url(url).target_blank(True)


# -- panels


def query(line: Line, ref: str) -> prometheus.Dataquery:
    """An expression over the time that is shown."""
    made = prometheus.Dataquery().expr(line.expr).legend_format(line.name).range().ref_id(ref)
    return made.datasource(SOURCE)


def lines(
    title: str, asks: str, shown: Sequence[Line], unit: str, *, legend_of: bool = False
) -> timeseries.Panel:
    """Thin grey lines over time."""
    panel = timeseries.Panel().title(title).description(asks).datasource(SOURCE).unit(unit).line_width(1)
    panel = panel.fill_opacity(0).show_points(VisibilityMode.NEVER).axis_placement(AxisPlacement.LEFT)
    panel = panel.span_nulls(False).tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    panel = panel.legend(legend() if legend_of else no_legend())
    if not legend_of:
        panel = panel.color_scheme(FieldColor().mode(FieldColorModeId.FIXED).fixed_color(GREY))
    for line, ref in zip(shown, "ABCDEF", strict=False):
        panel = panel.with_target(query(line, ref))
    return panel.override_by_regexp("/^(low|high) /", dashed())


def number(title: str, asks: str, shown: Sequence[Line], unit: str) -> stat.Panel:
    """Numbers that are now, with a line of where they come from."""
    panel = stat.Panel().title(title).description(asks).datasource(SOURCE).unit(unit)
    panel = panel.graph_mode(BigValueGraphMode.AREA).color_mode(BigValueColorMode.VALUE)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for line, ref in zip(shown, "ABCDEF", strict=False):
        panel = panel.with_target(query(line, ref))
    return panel


def rows(
    title: str, asks: str, columns: Sequence[Line], empty: str, hidden: Sequence[str] = ()
) -> table.Panel:
    """A table of what is now; columns of values are called as their lines are."""
    panel = table.Panel().title(title).description(asks).datasource(SOURCE).no_value(empty).unit("none")
    for line, ref in zip(columns, "ABCDEF", strict=False):
        made = prometheus.Dataquery().expr(line.expr).instant().format(PromQueryFormat.TABLE).ref_id(ref)
        panel = panel.with_target(made.datasource(SOURCE))
    if len(columns) > 1:
        panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
        names = {f"Value #{ref}": line.name for line, ref in zip(columns, "ABCDEF", strict=False)}
    else:
        names = {"Value": columns[0].name}
    options = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "renameByName": names,
        "indexByName": {},
    }
    return panel.with_transformation(DataTransformerConfig(id_val="organize", options=options))


def heat(title: str, asks: str, line: Line, unit: str) -> heatmap.Panel:
    """Buckets over time."""
    panel = heatmap.Panel().title(title).description(asks).datasource(SOURCE).unit(unit).calculate(False)
    made = prometheus.Dataquery().expr(line.expr).legend_format("{{le}}").range().ref_id("A")
    return panel.with_target(made.format(PromQueryFormat.HEATMAP).datasource(SOURCE)).hide_legend()


def marked(panel: timeseries.Panel, at: Mapping[float, str]) -> timeseries.Panel:
    """Limits, drawn as lines."""
    style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE)
    return panel.thresholds(steps(at)).thresholds_style(style)


def steps(at: Mapping[float, str], below: str = "transparent") -> ThresholdsConfig:
    """From which value on which colour."""
    found = [Threshold(value=None, color=below)]
    found += [Threshold(value=value, color=color) for value, color in at.items()]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def dashed() -> list[DynamicConfigValue]:
    """Overrides of a line that is a limit."""
    style = {"fill": "dash", "dash": [4, 4]}
    grey = {"mode": "fixed", "fixedColor": BAND}
    return [DynamicConfigValue("custom.lineStyle", style), DynamicConfigValue("color", grey)]


def symlog(panel: timeseries.Panel) -> timeseries.Panel:
    """An axis on which 10 and 20 000 are both seen, and zero too."""
    scale = common.ScaleDistributionConfig().type(ScaleDistribution.SYMLOG).log(10).linear_threshold(1)
    return panel.scale_distribution(scale)


def legend() -> common.VizLegendOptions:
    """To the right, with the last value."""
    made = common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.RIGHT)
    return made.show_legend(True).calcs(["lastNotNull"])


def no_legend() -> common.VizLegendOptions:
    """Where one line is shown."""
    return common.VizLegendOptions().display_mode(LegendDisplayMode.HIDDEN).show_legend(False)

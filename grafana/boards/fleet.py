"""The fleet: which pipeline needs me? Fits one screen with 30 pipelines, sorted by trouble."""
# Builders take booleans by position (FBT003); the folder holds Grafana's files, it is no package (INP001).
# ruff: noqa: FBT003, INP001

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import barchart, common, statetimeline
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, ValueMap, ValueMappingResult
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.boards.parts import (
    BAND,
    GREY,
    OUT,
    SOURCE,
    STATES,
    Line,
    board,
    no_legend,
    number,
    query,
    rows,
    steps,
    to_page,
    to_pipeline,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table
    from grafana_foundation_sdk.builders.dashboard import Dashboard

__all__ = ["fleet"]

_ROOT = "pipeline, stage, cause"
_ROW = "${__data.fields.pipeline}"
_YES = ValueMap({"0": ValueMappingResult(text=""), "1": ValueMappingResult(text="yes")})


def fleet() -> Dashboard:
    """For the person on call, first look."""
    made = board("Fleet", "swirl-fleet", "Which pipeline needs me?")
    for panel in (_open(), _states(), _promise(), _unjudged(), _size(), _planned()):
        made = made.with_panel(panel)
    return made


def _open() -> table.Panel:
    asks = "What is broken now, where, why, since when? All else on this board is context."
    columns = [
        Line(f"time() - min by ({_ROOT}) (swirl_incident_started_timestamp_seconds)", "open for"),
        Line(
            f"max by ({_ROOT}) (swirl_cause_posterior_ratio) and on ({_ROOT}) swirl_incident_open == 1",
            "likely",
        ),
        Line(f'max by ({_ROOT}) (swirl_incident_state{{state="acknowledged"}})', "somebody is on it"),
        Line(f'max by ({_ROOT}) (swirl_incident_state{{state="muted"}})', "muted"),
    ]
    panel = rows("Open incidents", asks, columns, "No incident is open.").span(24).height(6)
    panel = panel.sort_by([common.TableSortByFieldState().display_name("open for").desc(True)])
    panel = panel.override_by_name("open for", [DynamicConfigValue("unit", "s")])
    panel = panel.override_by_name("likely", [DynamicConfigValue("unit", "percentunit")])
    for name in ("somebody is on it", "muted"):
        panel = panel.override_by_name(name, [DynamicConfigValue("mappings", [_YES])])
    return panel.data_links([to_pipeline(_ROW), to_page(_ROW)])


def _states() -> statetimeline.Panel:
    degraded, tripped = (
        f'max by (pipeline) (swirl_verdict{{state="{of}"}})' for of in ("degraded", "tripped")
    )
    panel = statetimeline.Panel().title("State of each pipeline")
    panel = panel.description(
        "Which pipelines suffer together, and did it start at one moment (a shared cause) or by turns? "
        "No page of a single pipeline can show that."
    )
    panel = panel.datasource(SOURCE).with_target(
        query(Line(f"{degraded} + 2 * {tripped}", "{{pipeline}}"), "A")
    )
    panel = panel.mappings([STATES]).unit("none").span(24).height(8).legend(no_legend())
    return panel.data_links([to_pipeline(), to_page("${__field.labels.pipeline}")])


def _promise() -> barchart.Panel:
    panel = barchart.Panel().title("False alarms in seven days, and what was promised").datasource(SOURCE)
    panel = panel.description(
        "Does Swirl keep its word? Alarms of the last seven days that were chance, by the diagnosis or by a "
        "person, beside the budget. A promise that nobody checks is decoration."
    )
    shown = [
        Line("max by (pipeline) (swirl_false_alarms_spent)", "were chance"),
        Line("max by (pipeline) (swirl_false_alarms_promised)", "promised"),
    ]
    for line, ref in zip(shown, "AB", strict=True):
        asked = query(line, ref).instant().format(PromQueryFormat.TABLE)
        panel = panel.with_target(asked)
    panel = panel.x_field("pipeline").unit("short").decimals(1).min(0).span(12).height(8).legend(no_legend())
    for line, ref, color in zip(shown, "AB", (GREY, BAND), strict=True):
        named = [
            DynamicConfigValue("displayName", line.name),
            DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color}),
        ]
        panel = panel.override_by_query(ref, named)
    return panel


def _unjudged() -> stat.Panel:
    asks = (
        "Is the panel to the left to be believed? Incidents of the last four weeks of which nobody said what "
        "they were; they count as true unless the diagnosis said chance, so many of them make it too kind."
    )
    expr = (
        "clamp_min(sum(increase(swirl_incidents_total[4w]))"
        " - sum(increase(swirl_incidents_judged_total[4w])), 0)"
    )
    panel = number("Incidents without a judgement", asks, [Line(expr, "not judged")], "short").decimals(0)
    return panel.thresholds(steps({5: OUT}, GREY)).span(4).height(8)


def _size() -> table.Panel:
    asks = (
        "How large is each pipeline, and what share of its records does it reject? Size says which incident "
        "costs most. There is no threshold: what is usual differs, and Swirl knows it."
    )
    records, invalid = (f"swirl_{kind}_total[5m]" for kind in ("records", "invalid_records"))
    columns = [
        Line(f"max by (pipeline) (sum by (pipeline, stage) (rate({records})))", "records/s"),
        Line(f"sum by (pipeline) (rate({invalid})) / sum by (pipeline) (rate({records}))", "rejected"),
    ]
    panel = rows("Records and rejects", asks, columns, "Nothing arrives.").span(8).height(8)
    panel = panel.override_by_name("records/s", [DynamicConfigValue("unit", "short")])
    panel = panel.override_by_name("rejected", [DynamicConfigValue("unit", "percentunit")])
    return panel.data_links([to_pipeline(_ROW)])


def _planned() -> table.Panel:
    asks = (
        "Of what is nobody told just now, and until when? What happens there is told when the work is over."
    )
    line = Line("max by (pipeline, stage) (swirl_mute_until_timestamp_seconds) * 1000", "until")
    panel = rows("Planned work", asks, [line], "Nothing is muted.").span(24).height(4)
    return panel.override_by_name("until", [DynamicConfigValue("unit", "dateTimeAsIso")])

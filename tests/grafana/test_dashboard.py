from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from grafana import build
from swirl.sinks.prometheus import METRICS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((build.FOLDER / "one-pipeline.json").read_text(encoding="utf-8"))
    return found


def exported() -> set[str]:
    names = {metric.name for metric in METRICS}
    return names | {f"{m.name}{end}" for m in METRICS if m.kind == "summary" for end in ("_count", "_sum")}


def test_the_committed_dashboard_is_the_one_that_the_code_writes() -> None:
    committed = (build.FOLDER / "one-pipeline.json").read_text(encoding="utf-8")
    assert committed == build.as_json(build.one_pipeline()), "run: python grafana/build.py"


def test_building_writes_every_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path / "dashboards")
    build.main()
    assert [path.name for path in (tmp_path / "dashboards").iterdir()] == ["one-pipeline.json"]


def test_expressions_name_only_metrics_that_are_exported(model: dict[str, Any]) -> None:
    variables = [str(variable["query"]) for variable in model["templating"]["list"]]
    for expr in (*build.expressions(model), *variables):
        named = set(re.findall(r"\bswirl_\w+", expr))
        assert named, expr
        assert named <= exported(), expr


def test_labels_in_expressions_are_labels_of_their_metric(model: dict[str, Any]) -> None:
    labels = {metric.name: {*metric.labels, "quantile"} for metric in METRICS}
    for expr in build.expressions(model):
        for name, chosen in re.findall(r"(swirl_\w+)\{([^}]*)\}", expr):
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen)) <= labels[name], expr


def test_series_of_different_units_are_never_summed(model: dict[str, Any]) -> None:
    for expr in build.expressions(model):
        assert not re.search(r"\b(sum|avg)\b[^(]*\([^)]*swirl_series_", expr), expr


def test_each_panel_asks_a_question_and_has_a_source(model: dict[str, Any]) -> None:
    panels = [panel for panel in model["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])
    for panel in panels:
        assert panel["description"].endswith("?") or "?" in panel["description"]
        assert panel["datasource"]["uid"] == "swirl-prometheus"


def test_panels_do_not_overlap_and_fill_their_rows(model: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells
        assert all(x < 24 for x, _ in own)
        cells |= own
    assert len(cells) == 24 * (max(y for _, y in cells) + 1)


def test_provisioning_names_the_source_that_the_dashboard_uses() -> None:
    source = (ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text()
    assert f"uid: {build.SOURCE.uid}\n" in source

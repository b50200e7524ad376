from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import build
from grafana.boards.parts import SOURCE
from swirl.sinks.prometheus import METRICS
from tests.grafana.live import runnable
from tests.grafana.services import binary
from tests.grafana.table import PAGE, asked, begin_of_row

ROOT = Path(__file__).parents[2]
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
OFFERED = {"$pipeline", "$stage", "$__rate_interval"}
ENDS = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}


@pytest.fixture(scope="module", params=build.BOARDS)
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    text = (build.FOLDER / f"{request.param}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def panels(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def labels() -> dict[str, set[str]]:
    """Every name that is exported, with what its labels may be."""
    found = {}
    for metric in METRICS:
        for end in ("", *ENDS.get(metric.kind, ())):
            found[metric.name + end] = {*metric.labels, "le", "quantile", "instance", "job"}
    return found | {name: {"instance", "job"} for name in PROCESS}


@pytest.mark.parametrize("name", build.BOARDS)
def test_the_committed_dashboard_is_the_one_that_the_code_writes(name: str) -> None:
    committed = (build.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert committed == build.as_json(build.BOARDS[name]()), "run: python -m grafana.build"


def test_building_writes_every_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path / "dashboards")
    build.main()
    written = {path.stem for path in (tmp_path / "dashboards").iterdir()}
    assert written == set(build.BOARDS)
    committed = {path.stem for path in (ROOT / "grafana" / "dashboards").iterdir()}
    assert written == committed


def test_expressions_name_only_metrics_that_are_exported(model: dict[str, Any]) -> None:
    variables = [v["query"] for v in model["templating"]["list"] if v["type"] == "query"]
    for expr in (*(each.expr for each in build.asked(model)), *variables):
        named = set(re.findall(r"\b(?:swirl|process)_\w+", expr))
        assert named, expr
        assert named <= set(labels()), expr


def test_labels_in_expressions_are_labels_of_their_metric(model: dict[str, Any]) -> None:
    known = labels()
    for each in build.asked(model):
        for name, chosen in re.findall(r"(\w+)\{([^}]*)\}", each.expr):
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen)) <= known[name], each.expr


def test_series_of_different_units_are_never_summed(model: dict[str, Any]) -> None:
    of_series = [
        each.expr for each in build.asked(model) if re.search(r"swirl_series_(?!refused)", each.expr)
    ]
    assert [expr for expr in of_series if re.search(r"\b(sum|avg|stddev|stdvar)(_over_time)?\b", expr)] == []
    assert bool(of_series) == (model["uid"] == "swirl-pipeline")


def test_an_expression_says_the_same_whichever_worker_exports_it(model: dict[str, Any]) -> None:
    told_apart = re.compile(r"\b(sum|max|min|topk|count)\b|" + "|".join(PROCESS))
    assert [each.expr for each in build.asked(model) if not told_apart.search(each.expr)] == []


def test_rates_are_taken_before_sums(model: dict[str, Any]) -> None:
    wrong = re.compile(r"\b(rate|increase)\(\s*(sum|max|min|avg)\b")
    assert [each.expr for each in build.asked(model) if wrong.search(each.expr)] == []


@pytest.mark.service
def test_promtool_takes_every_expression(model: dict[str, Any], tmp_path: Path) -> None:
    rules = [{"record": f"e{i}", "expr": runnable(each.expr)} for i, each in enumerate(build.asked(model))]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([binary("promtool"), "check", "rules", path], capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_only_variables_that_the_board_offers_are_used(model: dict[str, Any]) -> None:
    offered = {f"${v['name']}" for v in model["templating"]["list"]} | {"$__rate_interval"}
    used = {name for each in build.asked(model) for name in re.findall(r"\$\w+", each.expr)}
    assert used <= offered & OFFERED


def test_each_panel_asks_a_question_has_a_unit_and_a_source(model: dict[str, Any]) -> None:
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])
    assert len({panel["title"] for panel in model["panels"]}) == len(model["panels"])
    for panel in panels(model):
        assert "?" in panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "swirl-prometheus"
        assert all(target["datasource"]["uid"] == "swirl-prometheus" for target in panel["targets"])
    assert model["description"].endswith("?")


def test_a_table_that_is_empty_says_what_that_means(model: dict[str, Any]) -> None:
    for panel in panels(model):
        if panel["type"] == "table":
            assert panel["fieldConfig"]["defaults"]["noValue"].endswith("."), panel["title"]


def test_nothing_is_a_gauge_a_pie_or_a_map(model: dict[str, Any]) -> None:
    assert {panel["type"] for panel in panels(model)} <= {
        "barchart", "heatmap", "stat", "state-timeline", "table", "timeseries",
    }  # fmt: skip


def test_panels_do_not_overlap_and_fill_their_rows(model: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells
        assert all(x < 24 for x, _ in own)
        cells |= own
    assert len(cells) == 24 * (max(y for _, y in cells) + 1)


def test_boards_lead_to_each_other_and_to_the_page(model: dict[str, Any]) -> None:
    others, page = model["links"]
    assert (others["type"], others["tags"], others["keepTime"]) == ("dashboards", ["swirl"], True)
    assert model["tags"] == ["swirl"]
    assert page["url"] == "${swirl_url}"
    (offered,) = (v for v in model["templating"]["list"] if v["name"] == "swirl_url")
    assert offered["type"] == "textbox"


def test_what_has_a_pipeline_leads_to_its_board_and_its_incident() -> None:
    models = {n: json.loads((build.FOLDER / f"{n}.json").read_text(encoding="utf-8")) for n in build.BOARDS}
    uids = {model["uid"] for model in models.values()}
    found = {
        (name, panel["title"]): {link["url"] for link in panel["fieldConfig"]["defaults"].get("links", [])}
        for name, model in models.items()
        for panel in panels(model)
    }
    for urls in found.values():
        for url in urls:
            assert url.startswith(("${swirl_url}/pipelines/", "/d/"))
            assert not url.startswith("/d/") or url.split("/")[2] in uids
    assert len(found["fleet", "Open incidents"]) == len(found["fleet", "State of each pipeline"]) == 2
    assert found["one-pipeline", "What Swirl says"] == {"${swirl_url}/pipelines/$pipeline"}


def test_deployments_and_incidents_are_marked(model: dict[str, Any]) -> None:
    marks = {annotation["name"]: annotation for annotation in model["annotations"]["list"]}
    assert set(marks) == {"deployments", "incidents"}
    for mark in marks.values():
        assert "{OF}" not in mark["expr"]
        assert ("$pipeline" in mark["expr"]) == (model["uid"] == "swirl-pipeline")


def test_provisioning_names_the_source_that_the_dashboards_use() -> None:
    path = ROOT / "grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
    assert source["uid"] == SOURCE.uid


def test_the_page_of_the_dashboards_has_every_panel_and_its_expression() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [each.panel for each in asked() if begin_of_row(each) not in page]
    assert missing == [], "run: python -m tests.grafana.table"

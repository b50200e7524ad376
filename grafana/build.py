"""Writes the dashboards from code: ``python -m grafana.build``; the JSON beside it is committed."""
# The folder holds Grafana's files, it is no package.
# ruff: noqa: INP001

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards.fleet import fleet
from grafana.boards.itself import itself
from grafana.boards.parts import ANNOTATIONS
from grafana.boards.pipeline import one_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grafana_foundation_sdk.builders.dashboard import Dashboard

__all__ = ["BOARDS", "FOLDER", "Asked", "as_json", "asked"]

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = {"fleet": fleet, "one-pipeline": one_pipeline, "swirl-itself": itself}
"""File of each board -> what makes it."""


class Asked(NamedTuple):
    """An expression, and where it stands.

    Attributes:
        board: title of the board.
        panel: title of the panel, or of the annotation.
        name: of the line or column.
        expr: the expression, with Grafana's variables.
    """

    board: str
    panel: str
    name: str
    expr: str


def as_json(board: Dashboard) -> str:
    """The dashboard as Grafana reads it."""
    model: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    of = '{pipeline="$pipeline"}' if model["uid"] == "swirl-pipeline" else ""
    for annotation in model["annotations"]["list"]:
        # Fields that Grafana has and the builder has not.
        marker = ANNOTATIONS[annotation["name"]]
        expr = marker.expr.replace("{OF}", of)
        annotation |= {"expr": expr, "titleFormat": marker.title, "step": "5s"}
    for number, panel in enumerate(model["panels"], 1):
        panel["id"] = number
    return json.dumps(model, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def asked(model: dict[str, Any]) -> Iterator[Asked]:
    """Every expression of a dashboard: of its panels and of its annotations."""
    for panel in model["panels"]:
        names = _columns(panel)
        for target in panel.get("targets", []):
            name = target.get("legendFormat") or names.get(target["refId"], "")
            yield Asked(model["title"], panel["title"], name, target["expr"])
    for annotation in model["annotations"]["list"]:
        yield Asked(
            model["title"], f"marks: {annotation['name']}", annotation["titleFormat"], annotation["expr"]
        )


def _columns(panel: dict[str, Any]) -> dict[str, str]:
    """Query -> what its column is called in a table."""
    options = [t["options"] for t in panel.get("transformations", []) if t["id"] == "organize"]
    renamed = options[0]["renameByName"] if options else {}
    return {(value.partition("#")[2] or "A"): name for value, name in renamed.items()}


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in BOARDS.items():
        (FOLDER / f"{name}.json").write_text(as_json(make()), encoding="utf-8")


if __name__ == "__main__":
    main()

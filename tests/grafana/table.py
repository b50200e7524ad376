"""Writes docs/dashboards.md: ``python -m tests.grafana.table``, on a real broker and a real Prometheus."""

from __future__ import annotations

import json
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from grafana import build
from tests.grafana.live import ACTS, Played, live, runnable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.grafana.services import Result

__all__ = ["PAGE", "asked", "begin_of_row", "cell", "main"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dashboards.md"
_SHOWN = 3
_HIDDEN = {"job", "metric", "quantile", "__name__"}
_BEGINS = "<!-- written by python -m tests.grafana.table from here on -->"


def asked() -> Iterator[build.Asked]:
    """Every expression of every board, as it is committed."""
    for name in build.BOARDS:
        model = json.loads((build.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        yield from build.asked(model)


def begin_of_row(each: build.Asked) -> str:
    """The row of an expression, as far as it does not depend on what was measured."""
    return f"| {each.panel} | {_safe(each.name)} | `{_safe(each.expr)}` |"


def cell(found: Result, each: build.Asked) -> str:
    """The values of an answer, the largest first, each with what its line is called."""
    largest = sorted(found, key=lambda sample: -sample[1])[:_SHOWN]
    told = [f"{_called(dict(labels), each)} {_rounded(value)}".strip() for labels, value in largest]
    more = f"; {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return _safe("; ".join(told) + more) or "–"


def _called(labels: dict[str, str], each: build.Asked) -> str:
    if "instance" in labels:
        labels["instance"] = "worker"
    named = re.findall(r"\{\{(\w+)\}\}", each.name)
    hidden = _HIDDEN | ({"pipeline"} if "$pipeline" in each.expr else set())
    kept = [labels.get(label, "") for label in named or sorted(labels.keys() - hidden)]
    return " ".join(filter(None, kept))


def _rounded(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    size = abs(value)
    if size >= 1e12:
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    return f"{value:,.0f}".replace(",", " ") if size >= 1000 else f"{value:.3g}"


def _safe(text: str) -> str:
    return text.replace("|", "\\|")


def _table(played: Played) -> Iterator[str]:
    names = [name for name, _ in ACTS]
    board = ""
    for each in asked():
        if each.board != board:
            board = each.board
            yield f"\n## {board}\n"
            yield f"| panel | line | expression | {' | '.join(names)} |"
            yield f"|---|---|---|{'---|' * len(names)}"
        found = [cell(played.prometheus.query(runnable(each.expr), played.at[name]), each) for name in names]
        yield f"{begin_of_row(each)} {' | '.join(found)} |"


def main() -> None:
    """Play, ask, write."""
    with tempfile.TemporaryDirectory(prefix="swirl-table-") as folder, live(Path(folder)) as played:
        head = PAGE.read_text(encoding="utf-8").partition(_BEGINS)[0]
        PAGE.write_text(head + "\n".join([_BEGINS, *_table(played)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

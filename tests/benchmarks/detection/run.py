"""All measurements of detection, put together as a page: ``make bench-detection``.

Each module of this folder that has a ``section`` measures one promise. The page is deterministic but for the
figures of speed; ``--only nab`` measures one part again and leaves the others as they are.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import time
from pathlib import Path

from tests.benchmarks.detection.nab_scorer import MISSING

__all__ = ["PAGE", "PARTS", "assembled", "main", "parts_of"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "detection.md"
PARTS = ("budget", "delay", "season", "drift", "nab", "diagnosis", "faults", "segments", "runs")
"""In the order of the page."""

HEAD = """# Detection: what was measured

Made by `make bench-detection` (about an hour on two cores; `ARGS="--only nab"` makes one part anew,
`ARGS=--quick` shows all of them in small on the screen). Everything is simulated or benchmark data with
fixed seeds: the figures come out the same wherever they are computed. Where a limit is missed, the part says
so.
"""


def parts_of(page: str) -> dict[str, str]:
    """The parts of a page, by the name of the module that made each.

    Example:
        >>> parts_of(assembled({"nab": "## NAB\\n\\nGood.\\n"}))
        {'nab': '## NAB\\n\\nGood.\\n'}
    """
    found = re.findall(r"<!-- (\w+) -->\n(.*?)(?=\n<!-- |\Z)", page, re.DOTALL)
    return {name: text.strip() + "\n" for name, text in found}


def assembled(parts: dict[str, str]) -> str:
    """The page of these parts."""
    told = [f"<!-- {name} -->\n{parts[name].strip()}\n" for name in PARTS if name in parts]
    missing = [name for name in PARTS if name not in parts]
    said = f"Parts that were not measured yet: {', '.join(missing)}.\n" if missing else ""
    return "\n".join(part for part in (HEAD, said, *told) if part)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part only")
    parser.add_argument("--quick", action="store_true", help="small, and to the screen only")
    given = parser.parse_args(arguments)
    parts = parts_of(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for name in given.only or PARTS:
        begin = time.monotonic()
        text = importlib.import_module(f"tests.benchmarks.detection.{name}").section(quick=given.quick)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
        if given.quick:
            print(text)
            continue
        if MISSING in text and name in parts:
            print(f"{MISSING}. The page keeps what it has of {name}.", file=sys.stderr)
            continue
        parts[name] = text
        PAGE.write_text(assembled(parts), encoding="utf-8")


if __name__ == "__main__":
    main()

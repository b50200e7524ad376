"""The runner of ``make bench``: every figure beside its limit.

A benchmark is a file ``bench_*.py`` beside this one with a function ``rows``, which gives a list of (name,
value, limit that the value must not exceed, or None: shown, not judged). Each file runs in a process of its
own, so that none warms another's caches. Exit code 1: a limit is exceeded, or a benchmark failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME, NUMBER = 72, 10

Row = tuple[str, float, float | None]

# What a benchmark prints itself goes to stderr; its rows go to a file.
CHILD = """
import json, runpy, sys
source, target = sys.argv[1:]
sys.stdout = sys.stderr
rows = runpy.run_path(source)["rows"]()
with open(target, "w", encoding="utf-8") as file:
    json.dump([[str(name), float(value), limit] for name, value, limit in rows], file)
"""


def measure(source: Path) -> list[Row] | None:
    """The rows of one benchmark, None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "rows.json"
        done = subprocess.run([sys.executable, "-c", CHILD, str(source), str(target)], check=False)
        if done.returncode != 0 or not target.exists():
            return None
        return [(name, value, limit) for name, value, limit in json.loads(target.read_text(encoding="utf-8"))]


def holds(row: Row) -> bool:
    """Whether the value is within its limit; one that is not a number never is."""
    _, value, limit = row
    return limit is None or value <= limit


def number(value: float | None) -> str:
    """Three digits and no exponent where a person can read it."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def line(row: Row) -> str:
    """One line of the table."""
    name, value, limit = row
    verdict = "" if limit is None else "ok" if holds(row) else "EXCEEDED"
    return f"  {name:<{NAME}} {number(value):>{NUMBER}} {number(limit):>{NUMBER}}  {verdict}".rstrip()


def main(folder: Path, only: list[str]) -> int:
    """Run the benchmarks of a folder and print their table; the exit code."""
    sources = sorted(folder.glob("bench_*.py"))
    chosen = [s for s in sources if not only or any(name in s.stem.removeprefix("bench_") for name in only)]
    if not chosen:
        print("no benchmark of that name; there are:", *(s.stem.removeprefix("bench_") for s in sources))
        return 1
    print(f"  {'benchmark':<{NAME}} {'value':>{NUMBER}} {'limit':>{NUMBER}}")
    bad = 0
    for source in chosen:
        began = time.perf_counter()
        rows = measure(source)
        print(f"{source.stem.removeprefix('bench_')} ({time.perf_counter() - began:.0f} s)")
        print("\n".join(line(row) for row in rows) if rows is not None else "  FAILED", flush=True)
        bad += 1 if rows is None else sum(not holds(row) for row in rows)
    print(f"{bad} beyond the limit or failed" if bad else "all within their limits")
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="part of a benchmark's name"
    )
    sys.exit(main(HERE, parser.parse_args().only))

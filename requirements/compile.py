"""Pins what pyproject.toml asks for, with versions and hashes (``make lock``).

``run.txt`` is what a user of the demo needs: the distribution with its extras, and what builds it.
``worker.txt`` adds the worker, which is what the container image holds, ``kafka.txt`` a broker to try it on,
``dev.txt`` the tests and checks and what the drift pipeline needs, ``mutation.txt`` what a mutation run needs
beside them, each under the pins of the one before. Compiled on the oldest Python that is supported, whose
needs include those of the newer ones.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = "# Compiled from pyproject.toml by `make lock`, for Python 3.11 to 3.13. Do not edit.\n"
OPTIONS = (
    *("--quiet", "--generate-hashes", "--strip-extras", "--allow-unsafe", "--newline=lf", "--no-header"),
    *("--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links"),
)


def wanted() -> dict[str, list[str]]:
    """What each file pins, as written in pyproject.toml."""
    document = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = document["project"], document["dependency-groups"]

    def extras(*names: str) -> list[str]:
        lines = [line for name in names for line in project["optional-dependencies"][name]]
        return [line for line in lines if not line.startswith(project["name"])]

    run = sorted({*project["dependencies"], *extras("watch", "demo"), *groups["build"]})
    worker = sorted({*run, *extras("worker")})
    kafka = sorted({*worker, *extras("dev")})
    also = [line for line in groups["dev"] if isinstance(line, str)]
    dev = [*kafka, *extras("drift-demo", "charts"), *also]
    return {"run": run, "worker": worker, "kafka": kafka, "dev": dev, "mutation": groups["mutation"]}


def pin(lines: list[str], target: Path, constraint: Path | None, options: list[str]) -> None:
    """Compile ``lines`` into ``target``; what ``constraint`` has pinned keeps its version."""
    under = [f"--constraint={constraint}"] if constraint else []
    command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *under, *options]
    subprocess.run(  # noqa: S603 - our own command
        [*command, f"--output-file={target}", "-"], input="\n".join(lines), text=True, check=True
    )
    text = target.read_text(encoding="utf-8")
    text = re.sub(r"^ +# +(?:via )?-c .*\n", "", text, flags=re.MULTILINE).replace("-r -", "pyproject.toml")
    text = re.sub(r"# via\n +#   (.*\n)(?! +#)", r"# via \1", text)
    target.write_text(HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    before: Path | None = None
    for name, lines in wanted().items():
        target = HERE / f"{name}.txt"
        pin(lines, target, before, sys.argv[1:])
        before = target

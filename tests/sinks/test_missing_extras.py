from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from swirl.errors import MissingExtraError


@pytest.mark.parametrize(
    ("module", "missing", "named"),
    [
        ("swirl.sinks.slack", "slack_sdk", "slack-sdk"),
        ("swirl.sinks.prometheus", "prometheus_client.metrics_core", "prometheus-client"),
        ("swirl.sinks.console", "rich.box", "rich"),
        ("swirl.web.app", "starlette.applications", "starlette.applications"),
        ("swirl.web.server", "uvicorn", "uvicorn"),
    ],
)
def test_a_missing_dependency_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, missing: str, named: str
) -> None:
    importlib.import_module(module)
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"^{named} is not installed.*swirl-monitor\[watch\]"):
        importlib.import_module(module)


@pytest.mark.parametrize("missing", ["aiokafka", "faust"])
def test_a_worker_without_its_extra_says_so_in_one_line(missing: str) -> None:
    """In a process of its own: a module that is made anew would not be the one that other tests hold."""
    without = f"import sys; sys.modules[{missing!r}] = None; from swirl.cli import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", without, "worker"],
        env={**os.environ, "SWIRL_KAFKA": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 2
    told = f"swirl: {missing} is not installed. Install it with: pip install 'swirl-monitor[worker]'\n"
    assert run.stderr == told

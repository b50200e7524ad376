from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import swirl

FOREIGN = (
    "scipy",
    "slack_sdk",
    "prometheus_client",
    "kafka",
    "faust",
    "asyncio",
    "rich",
    "click",
    "uvicorn",
    "pandas",
)


def test_what_is_exported_is_what_is_there() -> None:
    public = {n for n, v in vars(swirl).items() if not n.startswith("_") and not isinstance(v, ModuleType)}
    assert swirl.__all__ == sorted(swirl.__all__)
    assert set(swirl.__all__) == (public - {"annotations", "Any", "TYPE_CHECKING"}) | {"__version__"}


def test_importing_swirl_loads_nothing_heavy() -> None:
    script = "import sys, numpy; before = set(sys.modules); import swirl; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & set(FOREIGN) == set()


def test_watch_is_imported_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    local = ModuleType("swirl.engine.local")
    local.watch = lambda **settings: settings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "swirl.engine.local", local)
    import swirl.engine

    monkeypatch.setattr(swirl.engine, "local", local, raising=False)
    given: object = swirl.watch(slack_webhook="x")
    assert given == {"slack_webhook": "x"}

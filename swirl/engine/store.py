"""The folder in which the local engine keeps its state, and the lock that says who watches."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections import UserDict
from pathlib import Path

import msgspec

from swirl.errors import SettingsError

__all__ = ["Memory", "StateFolder", "default_folder", "temporary_folder"]

_log = logging.getLogger("swirl.engine")

_LONGEST_SOCKET_PATH = 100


def default_folder() -> Path:
    """``$XDG_STATE_HOME/swirl``, or ``~/.local/state/swirl``."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "swirl"


def temporary_folder() -> Path:
    """A folder of this user's own among the temporary files, which everybody may write to.

    Raises:
        SettingsError: somebody else has taken its name.
        OSError: it cannot be made.
    """
    path = Path(tempfile.gettempdir()) / f"swirl-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SettingsError(
            f"{path} is not a folder of this user alone. Set SWIRL_STATE to one that is, with a short path"
        )
    return path


class StateFolder:
    """A folder that one process at a time may own.

    Args:
        path: made if it is not there, readable for its owner only.

    Raises:
        SettingsError: it cannot be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            (path / "lock").touch(mode=0o600)
        except OSError as error:
            raise SettingsError(
                f"the state folder {path} cannot be used ({error.strerror}). Set SWIRL_STATE to another one"
            ) from error

    @property
    def socket_path(self) -> str:
        """Where the process that watches listens; short enough for the kernel.

        Raises:
            SettingsError: see :func:`temporary_folder`.
            OSError: the same.
        """
        path = str(self.path / "swirl.sock")
        if len(path) <= _LONGEST_SOCKET_PATH:
            return path
        digest = hashlib.blake2b(path.encode(), digest_size=8).hexdigest()
        return str(temporary_folder() / f"{digest}.sock")

    def acquire(self, note: str = "") -> bool:
        """Become the process that watches; False while another one is.

        Args:
            note: written beside the process id, for the others to read.
        """
        if self._lock is None:
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            self._lock = handle
            with contextlib.suppress(OSError):  # a full disk hides who watches, and no more
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()} {note}".encode(), 0)
        return True

    def holder(self) -> str:
        """Process id and note of the process that watches, or watched last; empty if it is not known."""
        try:
            return (self.path / "lock").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def release(self) -> None:
        """Let another process watch."""
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    def forget_lock(self) -> None:
        """In a forked child: the lock is the parent's."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> bytes | None:
        """The last snapshot, None if there is none."""
        try:
            return (self.path / "monitor.state").read_bytes()
        except FileNotFoundError:
            return None

    def save(self, snapshot: bytes) -> None:
        """Replace the snapshot; a crash leaves the old one or the new one."""
        _replace(self.path / "monitor.state", snapshot)

    def set_aside(self) -> Path:
        """Move a snapshot that cannot be read out of the way, and say where it is."""
        aside = self.path / "monitor.state.unreadable"
        (self.path / "monitor.state").replace(aside)
        return aside

    def announce(self, page: str) -> None:
        """Write down where the page of the process that watches is; ``""``: nowhere any more."""
        _replace(self.path / "page", page.encode())

    def page(self) -> str:
        """What was announced last, ``""`` for nothing; a process that was killed took nothing back."""
        try:
            return (self.path / "page").read_text(encoding="utf-8")
        except OSError:
            return ""

    def untold(self) -> list[bytes]:
        """What was to be told to people when it was written down last; nothing where it cannot be read."""
        try:
            return msgspec.msgpack.decode((self.path / "untold").read_bytes(), type=list[bytes])
        except (OSError, msgspec.MsgspecError):
            return []

    def keep_untold(self, records: list[bytes]) -> None:
        """Replace it.

        Raises:
            OSError: the disk takes no more.
        """
        _replace(self.path / "untold", msgspec.msgpack.encode(records))

    def memory(self, name: str) -> Memory:
        """A small mapping of texts that outlives the process."""
        return Memory(self.path / f"{name}.json")


class Memory(UserDict[str, str]):
    """A mapping that writes itself to a file at every change; of the newest 1 000 entries.

    A disk that takes no more is told once, and what is new is remembered by this process only.

    Args:
        path: the file; what cannot be read in it is taken as empty.
    """

    def __init__(self, path: Path) -> None:
        self._path: Path | None = None
        self._told = False
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        super().__init__(
            {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}
        )
        self._path = path

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        if self._path is not None:
            for old in list(self.data)[:-1000]:
                del self.data[old]
            self._write(self._path)

    def _write(self, path: Path) -> None:
        try:
            _replace(path, json.dumps(self.data).encode())
        except OSError as error:
            # Raised, it would make a message that was delivered look as if it was not, and be sent again.
            if not self._told:
                _log.warning("%s could not be written: %s", path, error)
            self._told = True


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    # For its owner only, since labels of records are in it; and not through a link that somebody laid there.
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

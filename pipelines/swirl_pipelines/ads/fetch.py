"""Fetches the real tweets once, by name and hash, through pip: ``python -m swirl_pipelines.ads.fetch``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from swirl_pipelines.ads.tweets import FILE_SHA256, cached_file

__all__ = ["FetchError", "fetch", "main"]

_REQUIREMENT = (
    "vaderSentiment==3.3.2 --hash=sha256:5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9\n"
)
_INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_FILE = "hutto_ICWSM_2014/tweets_GroundTruth.txt"


class FetchError(Exception):
    """The tweets could not be fetched; the message says why in one line."""


def fetch(target: Path | None = None, *, seconds: float = 90.0) -> Path:
    """Put the tweets into the cache, unless they are there.

    Args:
        target: the file to write, by default :func:`swirl_pipelines.ads.tweets.cached_file`.
        seconds: longest wait for pip, which builds the metadata of what it downloads.

    Raises:
        FetchError: there is no network, no pip, no time, no room, or not the file that was published.
    """
    target = target or cached_file()
    try:
        if target.is_file() and _is_right(target.read_bytes()):
            return target
        with tempfile.TemporaryDirectory() as folder:
            content = _extract(_download(Path(folder), seconds))
        if not _is_right(content):
            raise FetchError("the file inside the source distribution is not the one that was published")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        part.write_bytes(content)
        part.replace(target)
    except (OSError, KeyError, tarfile.TarError) as error:
        raise FetchError(f"{type(error).__name__}: {error}") from error
    return target


def _is_right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == FILE_SHA256


def _download(folder: Path, seconds: float) -> Path:
    """The source distribution, by pip with its hash; pip builds its metadata with tools of its own."""
    listed = folder / "requirements.txt"
    listed.write_text(_REQUIREMENT)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    command += ["--retries", "1", "--timeout", "10", "--no-deps", "--require-hashes"]
    command += ["--no-binary", "vaderSentiment", "--dest", str(folder), "--requirement", str(listed)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - our own words
    except subprocess.TimeoutExpired:
        raise FetchError(f"pip did not answer within {seconds:g} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError(lines[-1].strip() if lines else f"pip ended with {done.returncode}")
    return next(folder.glob("*.tar.gz"))


def _extract(source: Path) -> bytes:
    """The one file, out of an archive within an archive; nothing else is unpacked."""
    with tarfile.open(source) as outer:
        inner = outer.extractfile(next(m for m in outer if m.name.endswith(_INNER)))
        with tarfile.open(fileobj=inner) as archive:
            file = archive.extractfile(_FILE)
            assert file is not None
            return file.read()


def main() -> int:
    """Fetch and say where it lies; 1 when that failed."""
    try:
        said, code = f"4 200 rated tweets (Hutto & Gilbert, ICWSM 2014, MIT) in {fetch()}", 0
    except FetchError as error:
        said, code = f"the real tweets could not be fetched ({error}); the demo will run on made-up ones", 1
    print(said, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())

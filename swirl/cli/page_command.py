"""``swirl page``: the address that lets a browser see and act."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from swirl.cli.send import folders
from swirl.engine.share import ShareClient
from swirl.engine.store import StateFolder
from swirl.errors import SettingsError
from swirl.settings import WatchSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["address", "page"]


def address() -> str:
    """Of the page of the process that watches here, ``""`` if none is known."""
    return next(iter(_addresses()), "")


def _addresses() -> Iterator[str]:
    for path in folders():
        if (path / "lock").exists():
            try:
                folder = StateFolder(path)
            except SettingsError:
                continue
            found = folder.page()
            if found and _is_watched(folder):
                yield found
    settings = WatchSettings.from_environment()
    if settings.http_token and settings.http:
        yield f"{settings.url.rstrip('/') or f'http://{settings.http}'}/?token={quote(settings.http_token)}"


def _is_watched(folder: StateFolder) -> bool:
    """Whether the process still lives: one that was killed took nothing back."""
    try:
        ShareClient(folder.socket_path, lambda _pipeline, _verdict: None).close()
    except (OSError, SettingsError):
        return False
    return True


@click.command()
def page() -> None:
    """Print the address of the live page, with the token that lets a browser act on incidents.

    It is that of the process that watches on this machine as the same user; of a worker where
    SWIRL_HTTP_TOKEN says the token. Ends with 3 if none is known.
    """
    found = address()
    if not found:
        click.echo(
            "swirl: no page is known here. Run this as the user of the process that watches, with "
            "SWIRL_STATE as it has it; for a worker set SWIRL_HTTP and SWIRL_HTTP_TOKEN as they are there",
            err=True,
        )
        sys.exit(3)
    click.echo(found)

"""Options that several commands share, and how the exit codes are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from swirl.cli.completing import incident_ids, pipeline_names

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["READING", "SENDING", "ident", "pipeline", "url", "who", "why"]

Command = TypeVar("Command", bound="Callable[..., Any]")

READING = (
    "Ends with 0; with 1 if there is no such thing, with 2 if the call or a setting is wrong, with 3 if "
    "nobody answers."
)

SENDING = (
    "Ends with 0 once it is seen to be so; with 1 if there is no such thing or it cannot be said of it, with "
    "2 if the call or a setting is wrong, with 3 if nobody takes it, with 4 if it was sent and not seen to "
    "take effect."
)


def url(command: Command) -> Command:
    """``--url``, repeated for each of several workers."""
    return click.option(
        "--url",
        "urls",
        multiple=True,
        metavar="URL",
        help="Of a process that watches; may be repeated.  [default: that of SWIRL_HTTP]",
    )(command)


def who(command: Command) -> Command:
    """``--who``."""
    return click.option("--who", default="", metavar="NAME", help="Says so.  [default: your account]")(
        command
    )


def why(command: Command) -> Command:
    """``--why``, which must be given."""
    return click.option("--why", required=True, metavar="TEXT", help="In your words; it is told and kept.")(
        command
    )


def ident(command: Command) -> Command:
    """The identity of an incident."""
    return click.argument("ident", metavar="ID", shell_complete=incident_ids)(command)


def pipeline(command: Command) -> Command:
    """The name of a pipeline."""
    return click.argument("pipeline", metavar="PIPELINE", shell_complete=pipeline_names)(command)

"""``swirl mute`` and ``swirl unmute``: planned work."""

from __future__ import annotations

import sys

import click

from swirl.cli import options
from swirl.cli.span import Span

__all__ = ["mute", "unmute"]


@click.command(epilog=options.SENDING)
@options.pipeline
@click.option("--stage", default="", metavar="NAME", help="Only this one.  [default: the whole pipeline]")
@click.option("--for", "for_ms", type=Span(), required=True, help="How long: 30m, 2h, 1d; at most 30d.")
@options.why
@options.who
@options.url
def mute(*, pipeline: str, stage: str, for_ms: int, why: str, who: str, urls: tuple[str, ...]) -> None:
    """Planned work: it is watched all the same, and told afterwards in one line."""
    from swirl.cli.acting import of_pipeline
    from swirl.cli.send import account
    from swirl.frame import Act

    act = Act(pipeline, "mute", who=who or account(), why=why, stage=stage, for_ms=for_ms, via="command")
    sys.exit(of_pipeline(act, urls, click.echo))


@click.command(epilog=options.SENDING)
@options.pipeline
@click.option("--stage", default="", metavar="NAME", help="Only what was planned for this one.")
@options.who
@options.url
def unmute(*, pipeline: str, stage: str, who: str, urls: tuple[str, ...]) -> None:
    """Planned work is over before its time."""
    from swirl.cli.acting import of_pipeline
    from swirl.cli.send import account
    from swirl.frame import Act

    act = Act(pipeline, "unmute", who=who or account(), stage=stage, via="command")
    sys.exit(of_pipeline(act, urls, click.echo))

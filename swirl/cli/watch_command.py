"""``swirl watch``: what goes on, live."""

from __future__ import annotations

import sys

import click

from swirl.cli import options
from swirl.cli.completing import pipeline_names

__all__ = ["watch"]


@click.command(
    epilog="Ends with 0 after q or Ctrl-C, or at once with --once; with 1 if there is no such pipeline, with "
    "2 if the call or a setting is wrong, with 3 if nobody answers at the beginning."
)
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...", shell_complete=pipeline_names)
@click.option("--once", is_flag=True, help="Say how things stand, and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
@click.option("--topic", is_flag=True, help="From Kafka's topic of incidents; no process needs to answer.")
@options.url
def watch(
    *, pipelines: tuple[str, ...], once: bool, as_json: bool, topic: bool, urls: tuple[str, ...]
) -> None:
    """Show pipelines and incidents of a running process, live.

    On a terminal a screen, elsewhere one line for each change. Where SWIRL_KAFKA is set and no process
    answers, incidents come from Kafka's topic.
    """
    from swirl.cli.watch import Options, run

    sys.exit(run(Options(pipelines, urls, once=once, as_json=as_json, topic=topic), click.echo))

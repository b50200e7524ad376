"""``swirl incidents``: what is wrong, and what people say of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from swirl.cli import options
from swirl.cli.span import Span

__all__ = ["incidents"]


@click.group()
def incidents() -> None:
    """Incidents: list, show, and say what you do about them."""


@incidents.command("list", epilog=options.READING)
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@click.option("--pipeline", default="", metavar="NAME", help="Only of this one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for machines.")
@click.option("--topic", is_flag=True, help="From Kafka's topic of incidents; no process needs to answer.")
@options.url
def list_(*, every: bool, pipeline: str, as_json: bool, topic: bool, urls: tuple[str, ...]) -> None:
    """List the open incidents, newest first."""
    from swirl.cli.incidents import listed
    from swirl.cli.reach import Reach, addresses, no_pipeline

    if topic:
        from swirl.cli.topic import latest

        found = [i for i in latest() if pipeline in {"", i.pipeline} and (every or i.state == "open")]
    else:
        reach = Reach(addresses(urls))
        found = reach.incidents(pipeline, every=every)
        _complain(reach.silent)
        known = [each.name for each in reach.pipelines()] if pipeline and not found else [pipeline]
        if pipeline not in known and not reach.silent:
            raise no_pipeline(pipeline, known)
    for line in listed(found, every=every, as_json=as_json):
        click.echo(line)


@incidents.command(epilog=options.READING)
@options.ident
@click.option("--json", "as_json", is_flag=True, help="As JSON: the incident, its steps and series.")
@click.option(
    "--chart",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also draw its most telling series into FILE, a PNG; needs the extra charts.",
)
@click.option("--dark", is_flag=True, help="Draw light on dark.")
@options.url
def show(*, ident: str, as_json: bool, chart: Path | None, dark: bool, urls: tuple[str, ...]) -> None:
    """Show an incident: evidence, causes, and what has been said of it."""
    from swirl.cli.incidents import drawn, shown
    from swirl.cli.reach import Reach, addresses

    reach = Reach(addresses(urls))
    answer = reach.known(ident)
    _complain(reach.silent)
    shown(answer, as_json=as_json)
    if chart is not None:
        drawn(answer, chart, dark=dark)
        click.echo(f"chart: {chart}", err=True)


@incidents.command(epilog=options.SENDING)
@options.ident
@options.who
@options.url
def ack(**given: Any) -> None:
    """Acknowledge: you are on it."""
    _say("acknowledge", **given)


@incidents.command(epilog=options.SENDING)
@options.ident
@click.option("--for", "for_ms", type=Span(), default="1h", show_default=True, help="How long: 30m, 2h, 1d.")
@options.who
@options.url
def snooze(**given: Any) -> None:
    """Tell no news of it for a while; its end is told all the same."""
    _say("snooze", **given)


@incidents.command(epilog=options.SENDING)
@options.ident
@options.why
@options.who
@options.url
def resolve(**given: Any) -> None:
    """It is over."""
    _say("resolve", **given)


@incidents.command("new-normal", epilog=options.SENDING)
@options.ident
@options.why
@options.who
@options.url
def new_normal(**given: Any) -> None:
    """What the series do now is right: the incident ends and the baseline moves."""
    _say("new_normal", **given)


@incidents.command("false-alarm", epilog=options.SENDING)
@options.ident
@options.why
@options.who
@options.url
def false_alarm(**given: Any) -> None:
    """There was nothing: it counts against the promised false alarms; also of one that is over."""
    _say("false_alarm", **given)


@incidents.command(epilog=options.SENDING)
@options.ident
@click.option("--cause", default="", metavar="WORDS", help="What it really was, such as 'bad deployment'.")
@click.option("--stage", default="", metavar="NAME", help="Where it really was.")
@click.option("--why", default="", metavar="TEXT", help="In your words.")
@options.who
@options.url
def confirm(**given: Any) -> None:
    """It was as told, or as you say; Swirl learns from it. Also of one that is over."""
    _say("confirm", **given)


def _say(act: str, *, ident: str, who: str, urls: tuple[str, ...], **given: Any) -> None:
    from swirl.cli.acting import of_incident

    sys.exit(of_incident(act, ident, who, urls, click.echo, **given))


def _complain(silent: dict[str, str]) -> None:
    for url, why in silent.items():
        click.echo(f"swirl: {url} does not answer: {why}", err=True)

"""The commands of ``swirl``."""

from __future__ import annotations

import io
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

from swirl.errors import MissingExtraError

try:
    import click
except ImportError:
    raise MissingExtraError("click", "watch") from None

from swirl.cli.completion_command import completion
from swirl.cli.incidents_commands import incidents
from swirl.cli.mute_commands import mute, unmute
from swirl.cli.page_command import page
from swirl.cli.watch_command import watch

__all__ = ["group"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("swirl-monitor"), prog_name="swirl")
def group() -> None:
    """Analytics for analytics: which stage of an ML pipeline broke, and why."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # marks and bars are no reason to fail in a terminal of old


@group.command()
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 20.0),
    default=1.0,
    show_default=True,
    help="Seconds shown per second.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the feed, the audience and the noise."
)
@click.option("--headless", is_flag=True, help="Plain lines for pipes and CI; so without a terminal.")
@click.option("--synthetic", is_flag=True, help="Made-up tweets, even where the real ones are at hand.")
@click.option("--kafka", is_flag=True, help="Through a real broker and worker, each a process of its own.")
@click.option(
    "--open", "page", is_flag=True, help="Show the live page in a browser; it stays until Enter is pressed."
)
def demo(*, speed: float, seed: int, headless: bool, synthetic: bool, kafka: bool, page: bool) -> None:
    """Play the ads pipeline live: two faults that look alike, told apart.

    Ends with 0 if both were told right within three windows and a second, and nothing else was told.
    """
    from swirl.cli.demo import Options, run

    quiet = headless or not sys.stdout.isatty()
    if kafka and speed != 1.0:
        raise click.UsageError("--kafka goes at the speed of the clock")
    if kafka and page:
        raise click.UsageError("--open shows the page of this process; with --kafka the worker has it")
    options = Options(speed=speed, seed=seed, headless=quiet, synthetic=synthetic, kafka=kafka, page=page)
    sys.exit(run(options))


@group.command()
def settings() -> None:
    """Print every setting: its variable, its value now, and what it is for."""
    from swirl.cli.settings import table

    for line in table():
        click.echo(line)


@group.command()
@click.option("--create", is_flag=True, help="Create those that do not exist.")
@click.option("--apply", "change", is_flag=True, help="Set what differs; never the number of partitions.")
@click.option("--partitions", type=click.IntRange(1, 10_000), help="Of those that are created.  [default: 8]")
@click.option(
    "--replicas", type=click.IntRange(1, 100), help="Copies of each that is created.  [default: up to 3]"
)
def topics(*, create: bool, change: bool, partitions: int | None, replicas: int | None) -> None:
    """Show Kafka's topics, and what has to be otherwise.

    Nothing is changed unless asked for. Ends with 0 if all is well, with 1 if something is not.
    """
    from swirl.cli.topics import run

    if not create and (partitions or replicas):
        raise click.UsageError("--partitions and --replicas are for --create")
    sys.exit(run(create=create, change=change, partitions=partitions, replicas=replicas, say=click.echo))


@group.command()
@click.option(
    "--log",
    "level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What Swirl's own log tells.",
)
def worker(*, level: str) -> None:
    """Watch what pipelines send to Kafka; start more of them to scale.

    Ends with 0 after SIGTERM or Ctrl-C, with another code where it cannot go on and shall be started anew.
    """
    from swirl.cli.worker import run

    run(level)


@group.group()
def dev() -> None:
    """What a developer needs on the desk."""


@dev.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9092,
    show_default=True,
    help="On 127.0.0.1; 0: a free one.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of its data; default: kafka in Swirl's state folder.",
)
@click.option("--ephemeral", is_flag=True, help="Begin with nothing, and leave nothing behind.")
def kafka(*, port: int, folder: Path | None, ephemeral: bool) -> None:
    """Run a real Kafka broker, without Docker or an installed Java, until Ctrl-C."""
    from swirl.cli.dev import Options, run

    if folder and ephemeral:
        raise click.UsageError("--folder keeps what --ephemeral leaves no trace of; take one of them")
    sys.exit(run(Options(port, folder, ephemeral), click.echo, partial(click.echo, err=True)))


@group.command()
def doctor() -> None:
    """Test a deployment from settings to Slack, and say what to do.

    It writes no record and posts no message. Ends with 0 if nothing fails, otherwise with 1.
    """
    from swirl.cli.doctor import run

    sys.exit(run(click.echo))


@group.command()
@click.argument("target")
@click.option(
    "--send", default="", metavar="MODULE:NAME", help="Sends one record, where TARGET is a pipeline."
)
@click.option(
    "--per-second",
    type=click.FloatRange(0.0, 100_000.0, min_open=True),
    default=50.0,
    show_default=True,
    help="How often it is called, a second of virtual time.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=0.5,
    show_default=True,
    help="Of the faults: the share of the records that they hit, as a rule.",
)
@click.option(
    "--quiet",
    type=click.IntRange(70, 100_000),
    default=300,
    show_default=True,
    help="Windows of 10 s before each fault.",
)
@click.option(
    "--only", multiple=True, metavar="KIND", help="A kind of fault, such as nulls; may be repeated."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the traffic, and of which records are hit."
)
def drill(
    *,
    target: str,
    send: str,
    per_second: float,
    strength: float,
    quiet: int,
    only: tuple[str, ...],
    seed: int,
) -> None:
    """Would Swirl tell? Let faults befall a pipeline of yours, in virtual time.

    TARGET is module:name of a function that gives a pipeline and a function that sends one record, or one
    batch, through its stages. If it gives another pipeline each time, faults of one process among several are
    drilled too. Or it is a pipeline, and --send names the function.

    What the stages receive and return is changed from outside; the code stays as it is. Each fault comes
    after the same quiet past. Ends with 0 if each was told with its stage and cause and nothing else was
    told, otherwise with 1.
    """
    from swirl.cli.drill import Options, run

    sys.exit(run(Options(target, send, per_second, strength, quiet, only, seed), click.echo))


for _command in (completion, incidents, mute, page, unmute, watch):
    group.add_command(_command)

"""What a shell offers while one types: pipelines and incidents, from the process that watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swirl.errors import SwirlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from swirl.cli.reach import Reach

__all__ = ["incident_ids", "pipeline_names"]

_PATIENCE_S = 0.3
"""A shell that waits longer is a shell that hangs."""


def incident_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click names them
    """Open incidents, with what they are."""
    return _offered(
        ctx, incomplete, lambda reach: {incident.id: incident.title for incident in reach.incidents()}
    )


def pipeline_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - as above
    """Pipelines, with how they stand."""
    return _offered(
        ctx, incomplete, lambda reach: {each.name: each.verdict.state for each in reach.pipelines()}
    )


def _offered(
    ctx: click.Context, incomplete: str, ask: Callable[[Reach], dict[str, str]]
) -> list[CompletionItem]:
    """Nothing where nobody answers at once: a shell has no place for errors."""
    from click.shell_completion import CompletionItem

    from swirl.cli.reach import Reach, addresses

    try:
        found = ask(Reach(addresses(ctx.params.get("urls") or ()), _PATIENCE_S))
    except (click.ClickException, SwirlError):
        return []
    return [CompletionItem(name, help=told) for name, told in found.items() if name.startswith(incomplete)]

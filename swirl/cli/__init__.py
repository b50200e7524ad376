"""The command ``swirl``."""

from __future__ import annotations

import sys

from swirl.errors import SwirlError

__all__ = ["main"]


def main() -> None:
    """Run the command line; what is missing or set wrongly is told in one line."""
    try:
        from swirl.cli.commands import group

        group(prog_name="swirl")
    except SwirlError as error:
        print(f"swirl: {error}", file=sys.stderr)
        sys.exit(2)

"""``python -m swirl``: the command line."""

from swirl.cli import main

main()

"""Runs a worker from Python: signals, exit codes, and an end that no deadlock outlives."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from swirl.engine.watchdog import EXIT_STALLED
from swirl.errors import SettingsError
from swirl.kafka.rights import explained

if TYPE_CHECKING:
    from swirl.engine.faust.app import WorkerApp

__all__ = ["EXIT_CRASHED", "leave", "run"]

_log = logging.getLogger("swirl.worker")

EXIT_SETTINGS = 2
"""It would end the same way again; the command line ends so too, where it sees it first."""
EXIT_CRASHED = 70


def run(app: WorkerApp) -> int:
    """Work until a signal asks for the end, or until it cannot go on.

    Returns:
        The exit code: 0 after SIGTERM or SIGINT, 2 where a setting cannot be used, 70 after a crash.
        Stopping that takes too long ends the process with 75.
    """
    try:
        import uvloop  # noqa: PLC0415 - a sixth faster, where there is one
    except ImportError:
        return asyncio.run(_work(app))
    return uvloop.run(_work(app))


async def _work(app: WorkerApp) -> int:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app.loop = loop
    app.finalize()
    starting = asyncio.ensure_future(app.start())
    # Private, but the public ways of embedding an app do not tell of a crash.
    ends = [asyncio.ensure_future(event.wait()) for event in (stop, app._crashed, app._stopped)]  # noqa: SLF001
    await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and not starting.cancelled() and starting.exception() is None:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    reason = app.crash_reason
    if starting.done() and not starting.cancelled():
        reason = reason or starting.exception()
    code = 0 if reason is None else EXIT_SETTINGS if isinstance(reason, SettingsError) else EXIT_CRASHED
    grace = app.worker.grace_seconds
    app.watchdog.deadline(grace, code or EXIT_STALLED)
    if reason is None:
        _log.info("stopping: saving the state")
        await app.wind_down(grace * 0.6)
    else:
        _log.critical("the worker cannot go on: %s", explained(reason, app.kafka))
    try:
        await app.stop()
    except Exception as error:  # noqa: BLE001 - it ends anyway
        _log.error("stopping failed: %r", error)
        code = code or EXIT_CRASHED
    if reason is not None:  # said again as the last word: what stops says much
        _log.critical("ended with %d: %s", code, explained(reason, app.kafka))
    return code


def leave(code: int) -> None:
    """End the process now: threads that Faust left behind are not waited for."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

"""What a check found: how good it is, in words, and what to do about it."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Literal, NamedTuple

from swirl.errors import SwirlError, TopicsError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Finding", "bounded"]


class Finding(NamedTuple):
    """One line of a diagnosis.

    Attributes:
        state: ``FAIL`` is what stops a deployment from working.
        what: for people.
        do: what helps; empty where nothing needs to be done.
    """

    state: Literal["ok", "warn", "FAIL"]
    what: str
    do: str = ""


def bounded(findings: Iterator[Finding], seconds: float) -> Iterator[Finding]:
    """The findings, none waited for longer than so many seconds; what a check raises is a finding too."""
    found: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(findings, found), daemon=True).start()
    while True:
        try:
            finding = found.get(timeout=seconds)
        except queue.Empty:
            yield Finding("FAIL", f"no answer within {seconds:g} s", "look at the line above: it ends there")
            return
        if finding is None:
            return
        yield finding


def _pump(findings: Iterator[Finding], found: queue.SimpleQueue[Finding | None]) -> None:
    try:
        for finding in findings:
            found.put(finding)
    except TopicsError as error:
        found.put(Finding("FAIL", str(error).removesuffix(f"; {error.do}"), error.do))
    except SwirlError as error:
        found.put(Finding("FAIL", str(error)))
    except Exception as error:  # noqa: BLE001 - a check that fails is an answer too
        found.put(Finding("FAIL", f"the check itself failed: {error!r}"))
    finally:
        found.put(None)

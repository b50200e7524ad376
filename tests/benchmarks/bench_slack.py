"""Time from the offer of a step of an incident to its request at Slack, while nothing else waits."""

from __future__ import annotations

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import numpy as np

from swirl.effect import IncidentChanged
from swirl.settings import WatchSettings
from swirl.sinks import Outlet
from swirl.sinks.slack import slack_sink
from swirl.sinks.slack_memory import REMEMBERED
from tests.sinks.scene import DATA

OPEN = 1000
LIMIT_MS = 200.0
_STEPS = 200
_ANSWER = b'{"ok": true, "channel": "C00000000", "ts": "1.000001"}'


class _Slack:
    """Takes whatever comes, and tells when it came; no pace, so that it is our own time that is measured."""

    def __init__(self) -> None:
        self.came = 0.0
        self.heard = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if not receiver.heard.is_set():
                    receiver.came = time.perf_counter()
                    receiver.heard.set()
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(_ANSWER)))
                self.end_headers()
                self.wfile.write(_ANSWER)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def rows() -> list[tuple[str, float, float]]:
    """``(name, milliseconds, limit)``: the 99th percentile over openings and updates in turns."""
    slack = _Slack()
    settings = WatchSettings(
        slack_token="xoxb-bench",
        slack_channel="#ads",
        slack_url=f"http://127.0.0.1:{slack.server.server_port}/api/",
    )
    memory = {f"ads-20261121-{n:06d}": f"C{n:08d}/1.{n:06d}" for n in range(min(OPEN, REMEMBERED))}
    sink = slack_sink(settings, memory)
    assert sink is not None
    outlet = Outlet(sink)
    times = [_one(outlet, slack, number) for number in range(_STEPS)]
    outlet.close()
    slack.server.shutdown()
    worst = float(np.percentile(times, 99, method="higher"))
    print(f"median {1e3 * float(np.median(times)):.1f} ms, {_STEPS} steps", file=sys.stderr)
    return [(f"offer to request at Slack, ms, {OPEN} incidents open, 99th percentile", 1e3 * worst, LIMIT_MS)]


def _one(outlet: Outlet, slack: _Slack, number: int) -> float:
    """Seconds from the offer of one step to the first byte of its request. Each has a channel of its own."""
    incident = msgspec.structs.replace(DATA, id=f"ads-20261121-{number:06d}", revision=number + 1)
    slack.heard.clear()
    start = time.perf_counter()
    outlet.offer(IncidentChanged("updated", incident, "Worse."))
    assert slack.heard.wait(10)
    assert outlet.drain(10)
    return slack.came - start


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name}: {value:.1f} (limit {limit:g})")

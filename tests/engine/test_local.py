"""The local engine: state that outlives a restart, sinks that may fail, processes that share a watch."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

import swirl
from swirl.effect import Effect, IncidentChanged, WindowClosed
from swirl.engine.local import LocalEngine, watch
from swirl.engine.store import StateFolder
from swirl.errors import SettingsError
from swirl.sdk import transport
from swirl.settings import WatchSettings
from swirl.sinks.prometheus import PrometheusSink
from swirl.testing.clock import ManualClock
from swirl.testing.slack import SlackStandIn
from tests.engine.shop import QUIET, SETTINGS, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Ears:
    """A sink that remembers, and that one may wait for."""

    name = "ears"

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self._changed = threading.Condition()

    def handle(self, effect: Effect) -> None:
        with self._changed:
            self.effects.append(effect)
            self._changed.notify_all()

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(e.transition, e.incident.title) for e in self.effects if isinstance(e, IncidentChanged)]

    def hears(self, transition: str, title: str) -> bool:
        """Wait until it is told; False if that takes longer than ten seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: (transition, title) in self.told, timeout=10)


class Broken:
    """A sink that never works."""

    name = "broken"

    def handle(self, effect: Effect) -> None:
        raise ConnectionError("no such host")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def nothing_stays_installed() -> Iterator[None]:
    yield
    engine = transport.installed()
    if isinstance(engine, LocalEngine):
        engine.close()
    transport.install(None)


def test_a_fault_is_told_and_the_pipeline_learns_its_verdict(clock: ManualClock) -> None:
    ears = Ears()
    engine = LocalEngine(SETTINGS, QUIET, sinks=[Broken(), ears], clock=clock)
    engine.start()
    shop = Shop(engine, clock)
    shop.run(500)
    assert ears.told == []
    assert shop.pipeline.verdict.state == "healthy"
    shop.broken = 0.6
    shop.run(30)
    assert ears.hears("opened", "check: data pipeline broken")
    verdict = shop.pipeline.verdict
    assert (verdict.state, verdict.stage) == ("tripped", "check")
    shop.broken = 0.01
    shop.run(120)
    assert ears.hears("resolved", "check: data pipeline broken")
    verdict = shop.pipeline.verdict
    assert (verdict.state, verdict.stage) == ("healthy", "")
    engine.close()


def test_a_restart_with_a_new_version_is_a_deployment_that_can_be_blamed(
    clock: ManualClock, tmp_path: Path
) -> None:
    first = LocalEngine(SETTINGS, QUIET, clock=clock, state=tmp_path)
    first.start()
    shop = Shop(first, clock, version="1")
    shop.run(500)
    shop.pipeline.close()
    first.close(5)

    ears = Ears()
    second = LocalEngine(SETTINGS, QUIET, sinks=[ears], clock=clock, state=tmp_path)
    second.start()
    clock.advance(20)
    shop = Shop(second, clock, version="2", emitter=b"f" * 16)
    shop.swapped = True
    shop.run(60)
    second.close(5)
    assert ears.told[0] == ("opened", "score: bad deployment")
    incident = next(e.incident for e in ears.effects if isinstance(e, IncidentChanged))
    assert (incident.version, incident.version_before) == ("2", "1")


def test_after_a_restart_the_exporter_and_the_pipeline_know_what_was_open(
    clock: ManualClock, tmp_path: Path
) -> None:
    first = LocalEngine(SETTINGS, QUIET, clock=clock, state=tmp_path)
    first.start()
    shop = Shop(first, clock)
    shop.run(500)
    shop.broken = 0.6
    shop.run(30)
    first.close(5)
    shop.pipeline.verdict = swirl.Verdict()
    second = LocalEngine(SETTINGS, WatchSettings(http="127.0.0.1:0"), clock=clock, state=tmp_path)
    second.start()
    with urllib.request.urlopen(second.http + "/metrics", timeout=10) as answer:
        body: bytes = answer.read()
    second.close(5)
    assert 'swirl_incident_open{cause="data pipeline broken"' in body.decode()
    assert 'swirl_verdict{pipeline="shop",state="tripped"} 1' in body.decode()
    assert 'swirl_records_total{pipeline="shop"' in body.decode()
    assert shop.pipeline.verdict.state == "tripped"


def test_a_state_that_cannot_be_read_is_set_aside(
    clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "monitor.state").write_bytes(b"junk")
    engine = LocalEngine(SETTINGS, QUIET, clock=clock, state=tmp_path)
    engine.start()
    engine.close()
    assert (tmp_path / "monitor.state.unreadable").read_bytes() == b"junk"
    assert "learning starts anew" in caplog.text


def test_slack_hears_of_a_fault_through_the_real_client_and_a_restart_keeps_the_thread(
    clock: ManualClock, tmp_path: Path
) -> None:
    with SlackStandIn(channels=("#ops",)) as slack:
        settings = WatchSettings(http="", slack_token=slack.token, slack_channel="#ops", slack_url=slack.url)
        engine = LocalEngine(SETTINGS, settings, clock=clock, state=tmp_path)
        engine.start()
        shop = Shop(engine, clock)
        shop.run(500)
        shop.broken = 0.6
        shop.run(30)
        assert engine.drain(10)
        assert "check: data pipeline broken" in slack.transcript()
        engine.close(5)
        engine = LocalEngine(SETTINGS, settings, clock=clock, state=tmp_path)
        engine.start()
        shop.engine = engine
        shop.pipeline.rebind(clock=clock, transport=engine, threaded=False, emitter=b"g" * 16)
        shop.broken = 0.01
        shop.run(120)
        assert engine.drain(10)
        engine.close(5)
        assert len(slack.threads) == 1
        assert "resolved" in slack.transcript()


def test_what_slack_did_not_take_before_the_end_is_told_by_the_next_process(
    clock: ManualClock, tmp_path: Path
) -> None:
    with SlackStandIn(channels=("#ops",)) as slack:
        settings = WatchSettings(http="", slack_token=slack.token, slack_channel="#ops", slack_url=slack.url)

        def process() -> LocalEngine:
            engine = LocalEngine(SETTINGS, settings, clock=clock, state=tmp_path)
            engine.start()
            return engine

        engine = process()
        shop = Shop(engine, clock)
        shop.run(500)
        slack.fail_next(1000)
        shop.broken = 0.6
        shop.run(30)
        assert engine.folded(10)
        began = time.monotonic()
        engine.close(1)
        assert time.monotonic() - began < 5
        assert slack.threads == {}

        slack.heal()
        engine = process()
        assert engine.drain(10)
        assert "check: data pipeline broken" in slack.transcript()
        engine.close(5)

        engine = process()
        assert engine.drain(10)
        engine.close(5)
        assert len(slack.threads) == 1
        assert StateFolder(tmp_path).untold() == []


def test_an_alertmanager_that_hangs_takes_no_time_from_what_slack_is_told_last(
    clock: ManualClock, tmp_path: Path
) -> None:
    with SlackStandIn(channels=("#ops",)) as slack, socket.create_server(("127.0.0.1", 0)) as mute:
        settings = WatchSettings(
            http="",
            slack_token=slack.token,
            slack_channel="#ops",
            slack_url=slack.url,
            alertmanager=f"http://127.0.0.1:{mute.getsockname()[1]}",
        )
        engine = LocalEngine(SETTINGS, settings, clock=clock, state=tmp_path)
        engine.start()
        shop = Shop(engine, clock)
        shop.run(500)
        slack.fail_next(1, status=200, delay=0.5, body="garbage")
        shop.broken = 0.6
        shop.run(30)
        assert engine.folded(10)
        began = time.monotonic()
        engine.close(3)
        assert time.monotonic() - began < 6
        assert "check: data pipeline broken" in slack.transcript()


class Sulking:
    """A sink that knows what is wrong with it."""

    name = "sulking"
    trouble = "sulking: the token is wrong; set another one"

    def handle(self, effect: Effect) -> None:
        """Take nothing in."""


def test_what_is_wrong_with_a_sink_stands_beside_that_it_watches(tmp_path: Path) -> None:
    engine = LocalEngine(watch=WatchSettings(http="127.0.0.1:0"), sinks=[Sulking()], state=tmp_path)
    engine.start()
    try:
        with urllib.request.urlopen(engine.http + "/readyz", timeout=10) as answer:
            assert answer.read().decode() == f"watching nothing yet\n{Sulking.trouble}\n"
    finally:
        engine.close()


def test_metrics_and_health_are_served(clock: ManualClock) -> None:
    engine = LocalEngine(SETTINGS, WatchSettings(http="127.0.0.1:0"), clock=clock)
    engine.start()
    Shop(engine, clock).run(40)
    assert engine.drain(10)

    def page(path: str) -> str:
        with urllib.request.urlopen(engine.http + path, timeout=10) as answer:
            body: bytes = answer.read()
            return body.decode()

    metrics = page("/metrics")
    assert 'swirl_records_total{pipeline="shop",stage="check"}' in metrics
    assert "process_resident_memory_bytes" in metrics
    assert "last progress" in page("/livez")
    assert "watching shop" in page("/readyz")
    engine.close()
    assert engine.http == ""


def test_a_setting_that_is_unknown_or_unusable_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="windows_seconds"):
        watch(windows_seconds=5)
    with pytest.raises(SettingsError, match="SWIRL_WINDOW_SECONDS"):
        watch(window_seconds=-1)
    with pytest.raises(SettingsError, match="SWIRL_SLACK_CHANNEL"):
        watch(slack_token="xoxb-1", state=str(tmp_path), http="")


def test_the_second_watch_takes_the_place_of_the_first(tmp_path: Path) -> None:
    one = watch(state=str(tmp_path / "a"), http="")
    two = watch(state=str(tmp_path / "b"), http="")
    assert not one.watches or one._closed
    assert two.watches
    assert transport.installed() is two
    two.close()
    assert transport.installed() is None


WORKER = """
import sys, time, swirl
from swirl.engine.local import watch
from swirl.settings import EmitterSettings
pipeline = swirl.Pipeline("shop", settings=EmitterSettings(flush_seconds=0.1))

@pipeline.stage
def check(order):
    return order

engine = watch(state=sys.argv[1], http="", window_seconds=1, lateness_seconds=0)
print("watches" if engine.watches else "sends", flush=True)
while True:
    check(1)
    time.sleep(0.005)
    if engine.watches and sys.argv[2] == "successor":
        names = engine._monitor.pipelines
        if names:
            print("took over", flush=True)
            sys.argv[2] = "done"
"""


def start(state: Path, role: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(state), role], stdout=subprocess.PIPE, text=True
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_processes_share_a_watch_and_one_takes_over_when_it_is_killed(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert line(first) == "watches"
    second = start(tmp_path, "successor")
    try:
        assert line(second) == "sends"
        first.kill()
        first.wait(10)
        assert line(second) == "took over"
    finally:
        for process in (first, second):
            process.kill()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


def test_a_forked_child_sends_to_its_parent(tmp_path: Path) -> None:
    ears = Ears()
    engine = watch(
        state=str(tmp_path), http="", sinks=[ears], window_seconds=1, lateness_seconds=0, silence_seconds=0.5
    )
    pipeline = swirl.Pipeline("forked")

    @pipeline.stage
    def work(x: int) -> int:
        return x

    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        for number in range(7):
            work(number)
        os._exit(0 if pipeline.flush(10) and not engine.watches else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    deadline = time.monotonic() + 20
    while (
        not any(isinstance(e, WindowClosed) and e.totals for e in ears.effects)
        and time.monotonic() < deadline
    ):
        engine.drain(1)
        time.sleep(0.05)
    last = [e for e in ears.effects if isinstance(e, WindowClosed)][-1]
    assert last.totals["work"][""].records == 7
    engine.close()


FAMILY = """
import os, sys, time, swirl
from swirl.settings import EmitterSettings
pipeline = swirl.Pipeline("shop", settings=EmitterSettings(flush_seconds=0.1))

@pipeline.stage
def check(order):
    return order

engine = swirl.watch(state=sys.argv[1], http=sys.argv[2], window_seconds=1, lateness_seconds=0)
connected, tell = os.pipe()
if (heir := os.fork()) == 0:
    while not engine.watches:
        check(1)
        if pipeline.flush(1):
            os.write(tell, b"x")
    print("took over", engine.http, flush=True)
    time.sleep(60)
os.read(connected, 1)
if (sibling := os.fork()) == 0:
    time.sleep(60)
print(heir, sibling, flush=True)
time.sleep(60)
"""


def test_a_forked_child_can_take_over_even_if_others_were_forked_after_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    parent = subprocess.Popen(
        [sys.executable, "-c", FAMILY, str(tmp_path), address], stdout=subprocess.PIPE, text=True
    )
    children = [int(pid) for pid in line(parent).split()]
    try:
        parent.kill()
        assert line(parent) == f"took over http://{address}"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        parent.kill()
        parent.wait(10)
        assert parent.stdout is not None
        parent.stdout.close()


def test_a_forked_child_keeps_no_socket_to_slack_open(tmp_path: Path) -> None:
    """Slack would go on sending to it what people press after the parent is gone."""
    with SlackStandIn() as slack:
        engine = watch(state=str(tmp_path), http="", slack_app_token=slack.app_token, slack_url=slack.url)
        try:
            assert slack.sockets.wait()
            assert engine._desk is not None
            listener = engine._desk._listener
            assert listener is not None
            deadline = time.monotonic() + 10
            while not listener.connected and time.monotonic() < deadline:
                time.sleep(0.01)
            inherited = os.fstat(listener._client.current_session.sock.fileno()).st_ino  # type: ignore[union-attr]
            child = os.fork()
            if child == 0:  # pragma: no cover - in the child
                os._exit(any(_inode(fd) == inherited for fd in range(3, 1024)))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert listener.connected
        finally:
            engine.close(5)


def _inode(fd: int) -> int:
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0


def test_a_watch_that_could_not_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    threads = threading.active_count()
    with pytest.raises(SettingsError, match="SWIRL_HTTP"):
        watch(state=str(tmp_path), http="nonsense")
    assert transport.installed() is None
    assert threading.active_count() == threads
    second = watch(state=str(tmp_path), http="")
    assert second.watches
    second.close()


def test_a_closed_engine_takes_no_more_frames() -> None:
    engine = LocalEngine(SETTINGS, QUIET)
    engine.start()
    engine.send("shop", b"x", bool)
    engine.close()
    with pytest.raises(OSError, match="nobody watches"):
        engine.send("shop", b"x", bool)


def test_closing_does_not_wait_for_a_scrape_that_hangs() -> None:
    engine = LocalEngine(SETTINGS, WatchSettings(http="127.0.0.1:0"))
    engine.start()
    exporter = engine._outlets[0]._sink
    assert isinstance(exporter, PrometheusSink)
    with exporter._lock, contextlib.closing(http.client.HTTPConnection(engine.http[7:])) as scrape:
        scrape.request("GET", "/metrics")
        assert urllib.request.urlopen(engine.http + "/livez", timeout=10).read()
        began = time.monotonic()
        engine.close(0.1)
        assert time.monotonic() - began < 0.9


def test_a_home_that_cannot_be_written_to_does_not_keep_the_host_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("SWIRL_STATE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    watch(http="").close()
    assert "SWIRL_STATE" in caplog.text
    assert (tmp_path / f"swirl-{os.getuid()}" / "monitor.state").exists()


def test_without_any_folder_it_watches_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("")
    monkeypatch.delenv("SWIRL_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "home"))
    engine = watch(http="")
    assert engine.watches
    engine.close()
    assert "what is learnt ends with this process" in caplog.text


def test_a_state_that_may_not_be_read_is_told_and_learning_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "monitor.state").mkdir()
    engine = LocalEngine(SETTINGS, QUIET, state=tmp_path)
    engine.start()
    assert engine.watches
    engine.close()
    assert "learning starts anew" in caplog.text


def test_a_watcher_that_cannot_be_reached_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = StateFolder(tmp_path)
    assert elsewhere.acquire()
    engine = LocalEngine(SETTINGS, QUIET, state=tmp_path)
    for _ in range(20):
        with pytest.raises(ConnectionError):
            engine.send("shop", b"x", bool)
    assert caplog.text.count("cannot be reached") == 1
    elsewhere.release()
    engine.close()


def test_settings_that_another_process_overrules_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = LocalEngine(SETTINGS, QUIET, state=tmp_path)
    first.start()
    alike = LocalEngine(SETTINGS, QUIET, state=tmp_path)
    alike.start()
    assert "no effect" not in caplog.text
    other = LocalEngine(SETTINGS, WatchSettings(http="", slack_webhook="https://a/secret"), state=tmp_path)
    for _ in range(2):
        other.send("shop", b"x", bool)
        client = other._client
        assert client is not None
        other._lost(client)
    assert caplog.text.count("no effect") == 1
    assert f"process {os.getpid()} watches" in caplog.text
    assert "secret" not in (tmp_path / "lock").read_text()
    for engine in (alike, other, first):
        engine.close()


def test_frames_that_the_loop_had_to_leave_out_are_exported(clock: ManualClock) -> None:
    engine = LocalEngine(SETTINGS, WatchSettings(http="127.0.0.1:0"), clock=clock)
    engine.start()
    assert engine._loop is not None
    engine._loop.overflowed = 3
    with urllib.request.urlopen(engine.http + "/metrics", timeout=10) as answer:
        body: bytes = answer.read()
    engine.close()
    assert 'swirl_frames_refused_total{cause="queue_full"} 3' in body.decode()


@pytest.mark.parametrize("module", ["prometheus_client", "scipy"])
def test_watching_without_the_extra_says_what_to_install(module: str) -> None:
    code = f"""
import sys
sys.modules[{module!r}] = None
import swirl
try:
    swirl.watch()
except swirl.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "swirl-monitor[watch]" in done.stdout

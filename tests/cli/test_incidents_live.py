"""The commands against the engine itself: its page, its socket, its monitor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from swirl.charts import Picture
from swirl.cli.send import seen
from swirl.engine.local import LocalEngine
from swirl.settings import WatchSettings
from swirl.testing.clock import ManualClock
from tests.cli.watched import called
from tests.engine.shop import SETTINGS, Shop

if TYPE_CHECKING:
    from pathlib import Path


def test_an_incident_is_listed_acknowledged_muted_and_drawn(tmp_path: Path) -> None:
    clock = ManualClock(1_795_230_000.0)
    engine = LocalEngine(SETTINGS, WatchSettings(http="127.0.0.1:0"), clock=clock, state=tmp_path)
    engine.start()
    try:
        shop = Shop(engine, clock)
        shop.run(400)
        environ = {"SWIRL_HTTP": engine.http.removeprefix("http://"), "SWIRL_STATE": str(tmp_path)}
        assert called("incidents", "list", **environ).out == "○ no incident is open\n"
        shop.broken = 0.8
        shop.run(40)

        def listed() -> list[str]:
            return [each["id"] for each in json.loads(called("incidents", "list", "--json", **environ).out)]

        assert seen(lambda: len(listed()) == 1)
        (ident,) = listed()
        said = called("incidents", "ack", ident, "--who", "anna", **environ)
        assert (said.code, said.out) == (0, "shop / check: data pipeline broken is acknowledged by anna.\n")
        assert called("mute", "shop", "--for", "1h", "--why", "a test", **environ).code == 0
        assert called("unmute", "shop", **environ).code == 0
        assert "◆ check: data pipeline broken" in called("watch", "--once", **environ).out
        assert engine.board is not None
        view = engine.board.view("shop")
        assert view is not None
        assert Picture.of(view).png[:4] == b"\x89PNG"
    finally:
        engine.close()

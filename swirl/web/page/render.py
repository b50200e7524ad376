"""From scenes to HTML: templates that escape whatever they are given."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from swirl.incident.causes import UNKNOWN, words_of
from swirl.incident.numbers import clock as time_of_day
from swirl.sinks.wording import (
    duration,
    follow,
    likely,
    plain,
    reasons,
    sentence,
)
from swirl.web.page.choice import chosen, roles
from swirl.web.page.figures import amount, typeset
from swirl.web.page.layout import lay_out
from swirl.web.page.scene import MOST_CHARTS, Scene, causes, charts_of, scene_of, signs_of
from swirl.web.page.static import address
from swirl.web.page.words import end_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swirl.clock import Clock
    from swirl.effect import Incident
    from swirl.frame import Act
    from swirl.settings import Settings
    from swirl.sinks.board import Board, View
    from swirl.web.page.posts import Question

__all__ = ["Main", "Pages"]

_KEPT = 16
_SAID = {
    "acknowledge": "Acknowledged",
    "snooze": "Snoozed for an hour",
    "resolve": "Resolved",
    "new_normal": "Called the new normal",
    "false_alarm": "Called a false alarm",
    "confirm": "Confirmed",
    "mute": "Muted",
    "unmute": "Not muted any more",
}


class Main(NamedTuple):
    """A page without what is the same on all of them.

    Attributes:
        title: of the window.
        icon: ``"healthy"``, ``"learning"`` or ``"open"``.
        status: what a screen reader is told when it changes.
        header, html, footer: the parts that differ; HTML, marked as such for the template around them.
        name: of the pipeline, ``""`` for none.
    """

    title: str
    icon: str
    status: str
    header: str
    html: str
    footer: str
    name: str = ""


class Pages:
    """Writes pages; those of one version of the board are written once for all who look.

    Args:
        board: what is shown.
        settings: in effect.
        clock: of the machine.
    """

    def __init__(self, board: Board, settings: Sequence[Settings], clock: Clock) -> None:
        self._board, self._clock = board, clock
        self._settings = list(settings)
        self._kept: OrderedDict[tuple[object, ...], Main] = OrderedDict()
        self._lock = Lock()
        self._templates = _environment()

    def pipelines(self) -> Main:
        """All pipelines, those with an incident first."""
        key = ("pipelines", self._board.version, self._seconds())
        return self._once(key, self._pipelines)

    def _pipelines(self) -> Main:
        scenes = [scene_of(view, self._now()) for view in self._board.views()]
        scenes.sort(key=lambda s: (s.standing.state != "open", s.view.name))
        count = sum(s.standing.state == "open" for s in scenes)
        many = "" if count == 1 else "s"
        status = f"{count} incident{many} open" if count else "No incident is open"
        icon = "open" if count else "healthy"
        return self._main("pipelines", status, icon, status, scenes=scenes, open_count=count)

    def pipeline(self, view: View, proof: str, who: str) -> Main:
        """One pipeline."""
        key = (view.name, self._board.version, self._seconds(), proof, who)
        return self._once(key, lambda: self._pipeline(scene_of(view, self._now()), proof, who))

    def _pipeline(self, scene: Scene, proof: str, who: str) -> Main:
        now = scene.standing
        icon = now.state if now.state in ("open", "healthy") else "learning"
        status = f"Pipeline {plain(scene.view.name)}: {now.word}. {now.headline}"
        if scene.incident is not None:
            status = f"Incident open. {plain(scene.view.name)}, {plain(scene.incident.title)}."
        return self._main(
            "pipeline",
            now.title,
            icon,
            status,
            scene.view.name,
            s=scene,
            proof=proof,
            who=who,
            back="pipeline",
        )

    def stage(self, view: View, stage: str, begin: int) -> Main:
        """All series of one stage, some at a time."""
        key = (view.name, stage, begin, self._board.version)
        return self._once(key, lambda: self._stage(view, stage, begin))

    def _stage(self, view: View, stage: str, begin: int) -> Main:
        points = [p for p in (view.last.points() if view.last else ()) if p.key.stage == stage]
        telling = roles(view.open, points)
        keys = [p.key for p in points]
        charts = charts_of(view, keys[begin : begin + MOST_CHARTS], telling, view.open)
        title = f"{plain(view.name)}: {plain(stage) or 'across stages'}"
        return self._main(
            "stage",
            title,
            "open" if view.open else "healthy",
            title,
            view.name,
            view=view,
            stage=stage,
            charts=charts,
            begin=begin,
            series=len(keys),
            step=MOST_CHARTS,
        )

    def incident(self, incident: Incident, proof: str, who: str) -> Main:
        """One incident, open or over."""
        key = (incident.id, self._board.version, self._seconds(), proof, who)
        return self._once(key, lambda: self._incident(incident, proof, who))

    def _incident(self, incident: Incident, proof: str, who: str) -> Main:
        view = self._board.view(incident.pipeline)
        charts, points = [], []
        if view is not None and view.last is not None:
            points = list(view.last.points())
            if view.windows[0].start_ms <= incident.onset_ms:
                telling = roles(incident, points)
                keys = [
                    key for key in chosen(lay_out(view.last.definition), points, telling) if key in telling
                ]
                charts = charts_of(view, keys, telling, incident)
        mark = "◆" if incident.state == "open" else "✓"
        title = f"{mark} {plain(incident.pipeline)}: {plain(incident.title)}"
        return self._main(
            "incident",
            title,
            "open" if incident.state == "open" else "healthy",
            title,
            incident.pipeline,
            incident=incident,
            charts=charts,
            signs=signs_of(view, incident, points) if view is not None else [],
            causes=causes(incident),
            proof=proof,
            who=who,
            back="incident",
        )

    def settings(self) -> Main:
        """What is in effect; secrets say only whether they are set."""
        rows = [(type(part).__doc__ or "", _rows(part)) for part in self._settings]
        return self._main("settings", "Settings", "healthy", "Settings", parts=rows)

    def ask(self, act: Act, question: Question, proof: str) -> Main:
        """Say it again, for acts that change what is usual."""
        incident = self._board.incident(act.incident)
        return self._main(
            "ask",
            question.title,
            "open",
            question.title,
            act.pipeline,
            act=act,
            question=question,
            incident=incident,
            proof=proof,
        )

    def refused(self, why: str) -> Main:
        """What could not be done, and why."""
        return self._main("refused", "Not done", "learning", why, why=why)

    def entered(self, to: str) -> str:
        """A page that goes on by itself to an address without a token."""
        return self._templates.get_template("entered.html").render(to=to)

    def shell(
        self, main: Main, *, may_act: bool, said: str = "", here: str = "/", still: bool = False
    ) -> str:
        """The whole page around a main part.

        Args:
            main: that part.
            may_act: this browser has the cookie.
            said: the act that was just sent.
            here: address under which the page is asked for again.
            still: it is an answer, which does not change.
        """
        told = _SAID.get(said, "")
        return self._templates.get_template("shell.html").render(
            main=main,
            may_act=may_act,
            told=f"{told}: sent. It shows here as soon as the monitor has taken it." if told else "",
            here=here,
            still=still,
            now_ms=self._now(),
            several=len(self._board.names()) > 1,
            version=self._board.version,
        )

    def _main(self, template: str, title: str, icon: str, status: str, name: str = "", **given: Any) -> Main:
        module = self._templates.get_template(f"{template}.html").make_module(
            {**given, "now_ms": self._now(), "name": name}
        )
        parts = [getattr(module, part)() for part in ("header", "main", "footer")]
        return Main(title, icon, status, parts[0], parts[1], parts[2], name)

    def _once(self, key: tuple[object, ...], make: Callable[[], Main]) -> Main:
        # One at a time: where many look, one writes the page and the others get it, and a pipeline in the
        # same process keeps most of its time.
        with self._lock:
            made = self._kept.get(key)
            if made is None:
                made = self._kept[key] = make()
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return made

    def _now(self) -> int:
        return self._clock.time_ns() // 1_000_000

    def _seconds(self) -> int:
        """A page tells how old it is, so one is written every few seconds even where nothing changed."""
        return self._now() // 4000


@cache
def _environment() -> Environment:
    """Compiled once a process, at the first page."""
    made = Environment(
        loader=PackageLoader("swirl.web.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        set=typeset,
        plain=plain,
        amount=amount,
        took=lambda ms: typeset(duration(max(0, ms))),
        day=_day,
        iso=lambda ms: f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
        segment=lambda text: quote(str(text), safe=""),
        likely=lambda p: typeset(likely(p)),
        clock=time_of_day,
    )
    made.globals.update(
        address=address,
        causes_known=lambda incident: incident.cause != words_of(UNKNOWN),
        end_of=end_of,
        follow=follow,
        reasons=reasons,
        sentence=sentence,
    )
    return made


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"


def _rows(settings: Settings) -> list[tuple[str, str, bool, str]]:
    """Variable, value, whether it differs from its default, what it is."""
    rows = []
    for spec in fields(settings):
        value = getattr(settings, spec.name)
        shown = _masked(value) if spec.repr else "(set)" if value else "(not set)"
        rows.append((spec.metadata["variable"], shown, value != spec.default, spec.metadata["doc"]))
    return rows


def _masked(value: object) -> str:
    """A value as text; what stands before the @ of an address may be a password."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    user, at, _ = urlsplit(text).netloc.rpartition("@") if "://" in text else ("", "", "")
    return (text.replace(f"{user}@", "(set)@", 1) if at else text) or "(empty)"

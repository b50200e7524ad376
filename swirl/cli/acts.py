"""The demo's acts, what should be said of them, and the settings under which they fit into 79 s."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.settings import MonitorSettings

if TYPE_CHECKING:
    from swirl_pipelines.ads.runner import Act
    from swirl_pipelines.ads.world import World

__all__ = [
    "FLUSH_S",
    "HEALTHY",
    "INTRO",
    "PLAN",
    "RECOVERY",
    "SETTINGS",
    "TITLES",
    "TOLD",
    "WINDOW_MS",
    "acts",
]

SETTINGS = MonitorSettings(window_seconds=1.0, lateness_seconds=0.5, warm_up_windows=30, calm_windows=8)
WINDOW_MS = 1_000
FLUSH_S = 0.25

HEALTHY = "healthy"
BROKEN = "data pipeline broken"
RECOVERY = "upstream repaired"
BUG = "bug in a new model"
ROLLBACK = "rollback"

TITLES = {BROKEN: "ingest: data pipeline broken", BUG: "classify: bad deployment"}
"""The faults, and the words that Swirl should find for them."""

INTRO = (
    "This demo's settings, and why production has others: windows of 1 s (10 s: quiet pipelines must fill "
    "them), lateness 0.5 s (5 s: records travel further), a flush every 0.25 s (1 s: less to send), 30 "
    "windows of learning (60: steadier limits), an incident ends after 8 calm windows (30: no hasty "
    "all-clear)."
)

TOLD = {
    HEALTHY: "Tweets are labelled by a sentiment model, ads are served beside the positive ones, people "
    "click. Swirl learns what is usual; until then only overwhelming evidence raises an alarm.",
    BROKEN: "The upstream has renamed “text” to “full_text” for most tweets, and cuts the rest.",
    RECOVERY: "The upstream writes as agreed again. An incident is over after 8 calm windows.",
    BUG: "A new version of the classifier is live, its labels swapped. Seen from the clicks, nothing is new.",
    ROLLBACK: "The old version of the classifier serves again.",
}


PLAN = (
    (HEALTHY, 33.0, "healthy"),
    (BROKEN, 10.0, "broken"),
    (RECOVERY, 14.0, "healthy"),
    (BUG, 10.0, "bug"),
    (ROLLBACK, 12.0, "healthy"),
)
"""The acts: their names, seconds, and what the ads pipeline calls what happens in them."""


def acts(world: World) -> list[Act]:
    """What happens to the world, and for how long."""
    from swirl_pipelines.ads.runner import Act

    happens = {"healthy": world.repair, "broken": world.break_upstream, "bug": world.deploy_bug}
    return [Act(name, seconds, happens[what]) for name, seconds, what in PLAN]

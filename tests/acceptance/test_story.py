"""A fault is one thread from its opening to its end, though another process goes on watching meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swirl.testing.slack import SlackStandIn
from tests.acceptance.story import CHANNEL, Story, written

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


@pytest.mark.slow
def test_each_fault_is_one_thread_that_survives_a_restart(tmp_path: Path) -> None:
    with SlackStandIn(channels=(CHANNEL,)) as slack:
        story = Story(tmp_path, slack)
        story.play(written)
        story.close(30.0)
        threads = list(slack.threads.values())
        texts = [[message.text for message in thread] for thread in threads]
        charts = [content for content in slack.uploads.received.values() if content.startswith(b"\x89PNG")]
    assert [thread[0].text.partition(":")[0] for thread in threads] == ["ads / ingest", "ads / classify"]
    assert ["data pipeline broken" in texts[0][0], "bad deployment" in texts[1][0]] == [True, True]
    assert all(thread[0].reactions == ["white_check_mark"] for thread in threads)
    assert [sum("resolved" in text for text in thread[1:]) for thread in texts] == [1, 1]
    assert "acknowledged by mara" in str(threads[0][0].payload)
    assert len(charts) == 2

"""Each alert is raised by what it is for, and none by a deployment that works: asked of promtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.grafana.services import binary

pytestmark = pytest.mark.service

FOLDER = Path(__file__).resolve().parents[2] / "prometheus"
RULES, SUMS = FOLDER / "swirl.rules.yml", FOLDER / "swirl.sums.yml"
WORKER = 'instance="w", job="swirl"'

# Two hours of a worker that works: counters that grow and counters that stay.
CALM = {
    f"swirl_worker_partitions{{{WORKER}}}": "8x480",
    f"process_start_time_seconds{{{WORKER}}}": "1000x480",
    f"swirl_rebalances_total{{{WORKER}}}": "1x480",
    f"swirl_snapshots_total{{{WORKER}}}": "0+1x480",
    f'swirl_frames_total{{{WORKER}, pipeline="ads"}}': "0+15x480",
    f"swirl_log_gap_records_total{{{WORKER}}}": "0x480",
    f"swirl_fenced_total{{{WORKER}}}": "0x480",
    f'swirl_frames_lost_total{{{WORKER}, pipeline="ads"}}': "3x450 5x30",
    f'swirl_frames_late_total{{{WORKER}, pipeline="ads"}}': "1x450 3x30",
    f'swirl_emitter_dropped_records_total{{{WORKER}, pipeline="ads"}}': "7x480",
    f'swirl_lag_seconds{{{WORKER}, pipeline="ads"}}': "2x480",
    f'swirl_sink_effects_total{{{WORKER}, sink="slack", outcome="delivered"}}': "0+1x480",
    f'swirl_sink_effects_total{{{WORKER}, sink="slack", outcome="failed"}}': "0x480",
    f'swirl_sink_pending{{{WORKER}, sink="slack"}}': "0x480",
    f'swirl_sink_retries_total{{{WORKER}, sink="slack"}}': "1x480",
    **{
        f'swirl_notification_delay_seconds_bucket{{{WORKER}, sink="slack", le="{le}"}}': "0+1x480"
        for le in ("20.0", "120.0", "300.0", "+Inf")
    },
    f'swirl_records_total{{{WORKER}, pipeline="ads", stage="ingest"}}': "0+1000x480",
    f'swirl_late_records_total{{{WORKER}, pipeline="ads", cause="closed"}}': "0+1x480",
    f'swirl_late_records_total{{{WORKER}, pipeline="ads", cause="future"}}': "0x480",
    f'swirl_late_records_total{{{WORKER}, pipeline="ads", cause="revised"}}': "0+400x480",
    f'swirl_labels_overflowed_total{{{WORKER}, pipeline="ads"}}': "12x480",
    f'swirl_series_refused_total{{{WORKER}, pipeline="ads"}}': "3x480",
    f'swirl_summaries_unreadable_total{{{WORKER}, pipeline="ads"}}': "1x480",
    f'swirl_false_alarms_promised{{{WORKER}, pipeline="ads"}}': "1x480",
    f'swirl_false_alarms_spent{{{WORKER}, pipeline="ads"}}': "2x480",
}

# What happens before the end, by alert; None takes the series away.
TROUBLE: dict[str, dict[str, str | None]] = {
    "SwirlNobodyWatches": {f"swirl_worker_partitions{{{WORKER}}}": None},
    "SwirlWorkerRestarts": {f"process_start_time_seconds{{{WORKER}}}": "1x440 2x9 3x9 4x9 5x20"},
    "SwirlRebalances": {f"swirl_rebalances_total{{{WORKER}}}": "1x440 1+1x40"},
    "SwirlNoSnapshots": {f"swirl_snapshots_total{{{WORKER}}}": "0+1x360 360x120"},
    "SwirlLogGap": {f"swirl_log_gap_records_total{{{WORKER}}}": "_x400 25x80"},
    "SwirlDeadLetters": {f'swirl_dead_letters_total{{{WORKER}, cause="version"}}': "_x450 1x30"},
    "SwirlFenced": {f"swirl_fenced_total{{{WORKER}}}": "0x450 1x30"},
    "SwirlFramesLost": {f'swirl_frames_lost_total{{{WORKER}, pipeline="ads"}}': "3x450 9x30"},
    "SwirlRecordsDropped": {
        f'swirl_emitter_dropped_records_total{{{WORKER}, pipeline="ads"}}': "7x450 900x30"
    },
    "SwirlFarBehind": {f'swirl_lag_seconds{{{WORKER}, pipeline="ads"}}': "2x440 400x40"},
    "SwirlNobodyIsTold": {
        f'swirl_sink_effects_total{{{WORKER}, sink="slack", outcome="failed"}}': "0x450 1x30"
    },
    "SwirlToldLate": {
        f'swirl_notification_delay_seconds_bucket{{{WORKER}, sink="slack", le="{le}"}}': "0x480"
        for le in ("20.0", "120.0")
    },
    "SwirlLateRecords": {
        f'swirl_late_records_total{{{WORKER}, pipeline="ads", cause="closed"}}': "0+1x300 300+50x180"
    },
    "SwirlBeyondCaps": {f'swirl_labels_overflowed_total{{{WORKER}, pipeline="ads"}}': "12x450 40x30"},
    "SwirlUnreadable": {f'swirl_summaries_unreadable_total{{{WORKER}, pipeline="ads"}}': "1x450 2x30"},
    "SwirlDetectorFails": {
        f'swirl_detector_failures_total{{{WORKER}, pipeline="ads", detector="record"}}': "_x450 1x30"
    },
    "SwirlDetectorUnknown": {
        f'swirl_detector_unknown_info{{{WORKER}, pipeline="ads", detector="oracle"}}': "_x400 1x80"
    },
    "SwirlPromiseBroken": {f'swirl_false_alarms_spent{{{WORKER}, pipeline="ads"}}': "2x400 9x80"},
}


def names() -> list[str]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def raised(folder: Path, changes: dict[str, str | None]) -> set[str]:
    """The alerts that promtool finds raised at the end of two hours."""
    series = {name: values for name, values in {**CALM, **changes}.items() if values is not None}
    test: dict[str, Any] = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": f'count(ALERTS{{alertstate="firing", alertname="{name}"}})', "eval_time": "2h"}
            for name in names()
        ],
    }
    path = folder / "test.yml"
    path.write_text(
        yaml.safe_dump(
            {"rule_files": [str(RULES), str(SUMS)], "evaluation_interval": "15s", "tests": [test]}
        ),
        encoding="utf-8",
    )
    promtool = binary("promtool")
    done = subprocess.run([promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert "FAILED" in told or done.returncode == 0, told
    # Nothing is expected of any: promtool objects to each expression that has a value.
    return {name for name in names() if f'alertname="{name}"}})", time: 2h' in told.replace("\\", "")}


def test_every_alert_is_tried() -> None:
    assert list(TROUBLE) == names()


def test_a_deployment_that_works_raises_none(tmp_path: Path) -> None:
    assert raised(tmp_path, {}) == set()


@pytest.mark.parametrize("alert", TROUBLE)
def test_an_alert_is_raised_by_what_it_is_for_and_no_other_with_it(alert: str, tmp_path: Path) -> None:
    assert raised(tmp_path, TROUBLE[alert]) == {alert}


def test_series_that_are_left_out_are_told_as_labels_are(tmp_path: Path) -> None:
    refused: dict[str, str | None] = {f'swirl_series_refused_total{{{WORKER}, pipeline="ads"}}': "3x450 9x30"}
    assert raised(tmp_path, refused) == {"SwirlBeyondCaps"}


def test_a_pipeline_that_goes_to_another_worker_raises_none(tmp_path: Path) -> None:
    """The counters go on from where they were, under another instance."""
    other = WORKER.replace('"w"', '"v"')
    moved: dict[str, str | None] = {
        name: f"{values.partition('x')[0]}x440 _x40" for name, values in CALM.items() if "pipeline=" in name
    }
    heirs: dict[str, str | None] = {}
    for name, values in CALM.items():
        if "pipeline=" in name:
            began, _, step = values.partition("x")[0].partition("+")
            at = float(began.split()[-1]) + 440 * float(step or 0)
            heirs[name.replace(WORKER, other)] = f"_x441 {at:g}+{step or 0}x38"
    assert raised(tmp_path, {**moved, **heirs}) == set()


def test_what_is_recorded_is_a_level_a_metric_and_how(tmp_path: Path) -> None:
    groups = yaml.safe_load(SUMS.read_text(encoding="utf-8"))["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"]}
    assert all(re.fullmatch(r"(pipeline|sink):swirl_[a-z_]+:[a-z0-9_]+", name) for name in recorded)
    asked = set(re.findall(r"\w+:\w+:\w+", RULES.read_text(encoding="utf-8")))
    assert asked == recorded
    done = subprocess.run(
        [binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", RULES, SUMS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_series_of_different_units_are_never_summed_by_a_rule() -> None:
    text = RULES.read_text(encoding="utf-8") + SUMS.read_text(encoding="utf-8")
    assert not re.search(r"swirl_series_(?!refused)", text)


def test_slack_that_is_away_for_long_is_told_before_anything_is_given_up(tmp_path: Path) -> None:
    away: dict[str, str | None] = {
        f'swirl_sink_pending{{{WORKER}, sink="slack"}}': "0x440 1x40",
        f'swirl_sink_retries_total{{{WORKER}, sink="slack"}}': "1x440 1+1x40",
    }
    assert raised(tmp_path, away) == {"SwirlNobodyIsTold"}

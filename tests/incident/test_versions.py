"""Deployments: which ones are seen, and when one is blamed."""

from __future__ import annotations

import re

import pytest

from swirl.contrast import LEAST_RECORDS
from swirl.effect import SeriesKey
from swirl.history import StageCounts
from swirl.incident.diagnose import Diagnosis, diagnose
from swirl.incident.onset import residual_key
from swirl.incident.residuals import Residuals, collect
from swirl.incident.text import tell
from swirl.incident.versions import SIDE_BY_SIDE, TIMING, deployment_of, version_evidence
from tests.incident.acts import BROKEN, NEW, OLD, SECOND, Ads, Second
from tests.incident.simulator import drain


def seen(ads: Ads, windows: int = 1) -> Residuals:
    end = ads.history.windows[-1].start_ms
    found: Residuals = drain(collect(ads.history, end - (windows - 1) * SECOND, end))
    return found


def after(*seconds: Second, warm: int = 40) -> Ads:
    ads = Ads(1)
    ads.pass_by(warm)
    for second in seconds:
        ads.second(second)
    return ads


def test_a_version_that_arrives_is_a_deployment() -> None:
    deployment = deployment_of(seen(after(Second(version=NEW))), "classify")
    assert deployment is not None
    assert (deployment.version, deployment.before, deployment.since) == (NEW, OLD, 40)
    assert deployment.share.tolist() == [0.0] * 40 + [1.0]


def test_the_first_windows_of_a_pipeline_are_no_deployment() -> None:
    ads = Ads(1)
    ads.pass_by(3, Second(version=NEW))
    ads.pass_by(20)
    assert deployment_of(seen(ads), "classify") is None


def test_a_stage_of_one_version_has_no_deployment() -> None:
    assert deployment_of(seen(after()), "classify") is None
    assert version_evidence(seen(after()), "classify") is None


def test_an_old_deployment_is_no_suspect() -> None:
    assert deployment_of(seen(after(*[Second(version=NEW)] * 41)), "classify") is not None
    assert deployment_of(seen(after(*[Second(version=NEW)] * 42)), "classify") is None


def test_a_version_that_was_away_for_a_moment_does_not_arrive_again() -> None:
    ads = after(*[Second(version=NEW)] * 45, *[Second()] * 4, Second(version=NEW))
    deployment = deployment_of(seen(ads), "classify")
    assert deployment is not None
    assert deployment.version == OLD


def test_a_rollback_is_a_deployment() -> None:
    deployment = deployment_of(seen(after(*[Second(version=NEW)] * 10, Second())), "classify")
    assert deployment is not None
    assert (deployment.version, deployment.before) == (OLD, NEW)


def test_an_effect_that_comes_with_the_version_speaks_against_it() -> None:
    evidence = version_evidence(seen(after(Second(swapped=1.0))), "classify")
    assert evidence is not None
    assert evidence.timing == pytest.approx(TIMING, abs=0.1)
    assert evidence.side_by_side == 0.0
    assert evidence.contrast is None
    assert evidence.nats == evidence.timing


def test_an_effect_that_comes_later_than_the_version_clears_it() -> None:
    evidence = version_evidence(
        seen(after(*[Second(version=NEW)] * 12, Second(broken=0.8, version=NEW))), "classify"
    )
    assert evidence is not None
    assert evidence.timing < 0


def test_versions_side_by_side_decide() -> None:
    guilty = version_evidence(seen(after(Second(swapped=0.2))), "classify")
    assert guilty is not None
    assert guilty.contrast is not None
    assert guilty.side_by_side == SIDE_BY_SIDE
    assert guilty.contrast.metric == "prediction_ratio"
    assert guilty.contrast.label == "positive"
    assert guilty.contrast.new == pytest.approx(0.2, abs=0.02)
    assert guilty.contrast.old == pytest.approx(0.8, abs=0.02)
    assert guilty.contrast.explained > 0.9
    assert guilty.contrast.windows == 1
    assert guilty.contrast.z < -5


def test_an_old_version_that_is_as_bad_clears_the_new_one() -> None:
    ads = after()
    window = ads.window(Second(broken=0.8))
    whole = window.stages["classify"].pop(OLD)
    half = {k: n // 2 for k, n in whole.labels.items()}
    part = StageCounts(whole.records // 2, 0, 0, whole.out // 2, whole.predictions // 2, half)
    window.stages["classify"] = {OLD: part, NEW: part}
    ads.history.append(window)
    evidence = version_evidence(seen(ads), "classify")
    assert evidence is not None
    assert evidence.side_by_side == -SIDE_BY_SIDE


def test_too_few_records_decide_nothing() -> None:
    ads = after()
    window = ads.window(Second())
    window.stages["classify"][NEW] = StageCounts(
        LEAST_RECORDS - 1, out=29, predictions=29, labels={"negative": 29}
    )
    ads.history.append(window)
    evidence = version_evidence(seen(ads), "classify")
    assert evidence is not None
    assert evidence.side_by_side == 0.0


def test_of_more_than_two_versions_the_newest_stands_against_the_rest() -> None:
    ads = after()
    window = ads.window(Second(swapped=0.5))
    old = window.stages["classify"][OLD]
    window.stages["classify"] = {**window.stages["classify"], "2026.10.9": old}
    for earlier in ads.history.windows:
        earlier.stages["classify"]["2026.10.9"] = earlier.stages["classify"][OLD]
    ads.history.append(window)
    evidence = version_evidence(seen(ads), "classify")
    assert evidence is not None
    assert evidence.deployment.version == NEW
    assert evidence.contrast is not None
    assert evidence.contrast.old == pytest.approx(0.8, abs=0.02)
    assert evidence.side_by_side == SIDE_BY_SIDE


@pytest.mark.parametrize(("slower", "told"), [(1.1, False), (4.0, True)])
def test_a_slower_version_is_seen_beyond_the_floor(slower: float, *, told: bool) -> None:
    ads = Ads(1)
    for _ in range(43):
        window = ads.window(Second())
        for versions in window.stages.values():
            for counts in versions.values():
                counts.latency = 0.01
        ads.history.append(window)
    for window in ads.history.windows[-3:]:
        half = window.stages["ingest"][OLD]
        window.stages["ingest"][NEW] = StageCounts(
            half.records, half.invalid, 0, half.out, latency=0.01 * slower, latency_spread=0.3
        )
    evidence = version_evidence(seen(ads, 3), "ingest")
    assert evidence is not None
    metrics = evidence.contrast.metric if evidence.contrast else ""
    assert (metrics == "latency_p50") is told
    assert (evidence.side_by_side > 0) is told


def judged(ads: Ads, windows: int) -> Diagnosis:
    end = ads.history.windows[-1].start_ms
    diagnosis: Diagnosis = drain(diagnose(ads.history, end - (windows - 1) * SECOND, end))
    return diagnosis


def test_a_canary_that_hardly_moves_the_whole_is_told_from_the_two_side_by_side() -> None:
    d = judged(after(*[Second(swapped=0.003)] * 3), 3)
    assert abs(d.z[SeriesKey("classify", "prediction_ratio")]) < 3
    assert d.z[SeriesKey("classify", "version_contrast")] < -8
    assert d.best == ("bad_deployment", "classify")
    assert d.benign < 0.1
    text = tell(d, "ads", SECOND, named=True)
    assert re.fullmatch(
        rf"classify {NEW} calls 0\.\d\d of its records positive, {OLD} 0\.80 side by side\.", text.sentence
    )
    assert text.evidence[0].name == f"positive ratio, {NEW} beside {OLD}"
    assert (text.evidence[0].metric, text.evidence[0].usual) == ("version_contrast", "0.80")
    assert residual_key(SeriesKey("classify", "version_contrast", "positive")) in text.covered


def split(ads: Ads, second: Second, share: float) -> None:
    """A second in which both versions took part, and did the same."""
    window = ads.window(second)
    whole = window.stages["classify"].pop(OLD)
    positive = whole.labels["positive"]
    new_n = int(whole.records * share)
    new_positive = int(ads.rng.hypergeometric(positive, whole.records - positive, new_n))
    parts = {NEW: (new_n, new_positive), OLD: (whole.records - new_n, positive - new_positive)}
    window.stages["classify"] = {
        version: StageCounts(
            n,
            out=n,
            predictions=n,
            labels={"positive": k, "negative": n - k},
            latency=2e-5,
            latency_spread=0.3,
        )
        for version, (n, k) in parts.items()
    }
    ads.history.append(window)


def test_a_deployment_that_changed_nothing_is_said_to_have_changed_nothing() -> None:
    ads = after(warm=60)
    for _ in range(6):
        split(ads, Second(), 0.5)
    for _ in range(3):
        split(ads, BROKEN, 0.5)
    d = judged(ads, 3)
    assert d.best == ("data_broken", "ingest")
    line = tell(d, "ads", SECOND, named=True).version_line
    assert line.endswith("and changed nothing: both versions do the same side by side")
    assert NEW in line


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_a_concept_shift_in_all_versions_is_not_blamed_on_a_deployment_of_the_same_hour(share: float) -> None:
    ads = after(warm=60)
    for step in range(30):
        # The world turns within half an hour; the new version comes in the middle of it.
        second = Second(shifted=-0.25 * (step + 1) / 30)
        split(ads, second, share if step >= 8 else 0.0)
    d = judged(ads, 15)
    assert d.version is None or d.version.side_by_side < 0
    assert d.cause == "concept_shift"
    assert d.posterior["bad_deployment", "classify"] < 0.05

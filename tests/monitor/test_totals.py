from __future__ import annotations

from swirl.frame import Slice
from swirl.monitor.totals import RunningTotals


def piece(version: str) -> Slice:
    return Slice("check", version, 0, {"records": 10.0, "invalid": 2.0}, {"reason": {"text missing": 2}}, {})


def test_the_sum_over_versions_never_falls_however_many_go_out() -> None:
    totals = RunningTotals()
    sums = []
    for number in range(30):
        totals.add(piece(str(number)))
        sums.append(sum(total.records for total in totals.copy()["check"].values()))
    assert sums == [10 * (number + 1) for number in range(30)]
    kept = totals.copy()["check"]
    assert len(kept) < 12
    assert kept["(other)"].reasons == {"text missing": kept["(other)"].invalid}
    again = RunningTotals()
    again.restore(totals.snapshot())
    assert again.copy() == totals.copy()

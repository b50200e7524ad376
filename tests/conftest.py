"""What holds for every test: seeded Hypothesis, no settings of the caller's, services that CI must have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["tests.services"]

settings.register_profile("swirl", derandomize=True, database=None, deadline=None, print_blob=False)
settings.load_profile("swirl")


def pytest_configure() -> None:
    """Take the caller's own settings away, also from the processes that tests start."""
    for variable in [name for name in os.environ if name.startswith("SWIRL_")]:
        del os.environ[variable]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a service that is missing is a failure, not a reason to skip."""
    report = yield
    if report.skipped and os.environ.get("CI") and item.get_closest_marker("service"):
        report.outcome = "failed"
    return report

"""Settings come from one variable each and complain with its name."""

from __future__ import annotations

from dataclasses import fields

import pytest

from swirl.errors import SettingsError
from swirl.settings import EmitterSettings, MonitorSettings, Settings, WatchSettings

ALL = (EmitterSettings, MonitorSettings, WatchSettings)


def test_what_is_given_goes_before_the_environment_and_that_before_the_default() -> None:
    environ = {"SWIRL_WINDOW_SECONDS": "60", "SWIRL_CALM_WINDOWS": "5"}
    settings = MonitorSettings.from_environment(environ, window_seconds=20, calm_windows=None)
    assert (settings.window_seconds, settings.calm_windows, settings.warm_up_windows) == (20, 5, 60)


def test_the_real_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWIRL_OFF", "yes")
    assert EmitterSettings.from_environment().off is True


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("", False), ("no", False)]
)
def test_yes_and_no_have_many_words(text: str, value: bool) -> None:  # noqa: FBT001 - it is the value under test
    assert EmitterSettings.from_environment({"SWIRL_OFF": text}).off is value


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SWIRL_OFF", "maybe", "1 or 0"),
        ("SWIRL_BUFFER_RECORDS", "many", "a whole number"),
        ("SWIRL_FLUSH_SECONDS", "soon", "a number"),
        ("SWIRL_FLUSH_SECONDS", "0", "above 0"),
        ("SWIRL_FLUSH_SECONDS", "nan", "above 0"),
        ("SWIRL_BUFFER_RECORDS", "5", "at least 100"),
    ],
)
def test_an_unusable_value_is_told_with_its_variable(variable: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}.*{message}"):
        EmitterSettings.from_environment({variable: text})


@pytest.mark.parametrize(
    ("cls", "given"),
    [
        (MonitorSettings, {"window_seconds": float("inf")}),
        (MonitorSettings, {"window_seconds": "10"}),
        (MonitorSettings, {"calm_windows": 2.5}),
        (EmitterSettings, {"flush_seconds": 1e12}),
        (EmitterSettings, {"off": "yes"}),
        (WatchSettings, {"http": 9464}),
        (WatchSettings, {"slack_webhook": b"https://hooks.slack.com/secret"}),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_and_a_secret_is_not_quoted(
    cls: type[Settings], given: dict[str, object]
) -> None:
    with pytest.raises(SettingsError, match=rf"SWIRL_.*{next(iter(given))}.*must be") as told:
        cls(**given)
    assert "secret" not in str(told.value)


def test_an_infinite_time_in_the_environment_is_refused() -> None:
    with pytest.raises(SettingsError, match="SWIRL_FLUSH_SECONDS"):
        EmitterSettings.from_environment({"SWIRL_FLUSH_SECONDS": "inf"})


def test_windows_are_whole_seconds() -> None:
    with pytest.raises(SettingsError, match="whole number of seconds"):
        MonitorSettings(window_seconds=1.5)


@pytest.mark.parametrize("cls", ALL)
def test_every_setting_has_a_variable_and_a_meaning(cls: type[Settings]) -> None:
    variables = [spec.metadata["variable"] for spec in fields(cls)]
    assert all(variable.startswith("SWIRL_") for variable in variables)
    assert len(set(variables)) == len(variables)
    assert all(spec.metadata["doc"] for spec in fields(cls))


def test_secrets_do_not_show_in_a_repr() -> None:
    shown = repr(WatchSettings(slack_token="xoxb-secret", slack_webhook="https://hooks/secret"))
    assert "secret" not in shown

"""Every error that Swirl raises on purpose.

The tree::

    Exception
    ├── Invalid                 raised by a user's stage: this record is invalid
    └── SwirlError
        ├── DefinitionError     a pipeline, stage, metric or ratio was defined wrongly (also a ValueError)
        ├── SettingsError       a setting has an unusable value (also a ValueError)
        ├── FrameError          bytes that are no frame; ``cause`` says why (also a ValueError)
        ├── SnapshotError       a snapshot that cannot be restored (also a ValueError)
        ├── TopicsError         Kafka's topics are not as they must be; ``do`` says what helps
        ├── DeliveryError       a sink could not deliver an effect; tried again unless it is permanent
        └── MissingExtraError   an optional dependency is not installed (also an ImportError)

Nothing of this reaches a running pipeline: definition and settings errors are raised while the pipeline is
being written down, the others on the side of the monitor.
"""

from __future__ import annotations

__all__ = [
    "DefinitionError",
    "DeliveryError",
    "FrameError",
    "Invalid",
    "MissingExtraError",
    "SettingsError",
    "SnapshotError",
    "SwirlError",
    "TopicsError",
]


class Invalid(Exception):  # noqa: N818 - it reads as a statement about the record, not as an error of the program
    """Raise it inside a stage to say that the record is invalid, and why.

    Args:
        reason: a short, stable description such as ``"text missing"``; it becomes a label, so keep values of
            the record out of it.

    Example:
        >>> raise Invalid("text missing")
        Traceback (most recent call last):
        swirl.errors.Invalid: text missing
    """

    def __init__(self, reason: str = "invalid") -> None:
        super().__init__(reason)
        self.reason = reason


class SwirlError(Exception):
    """The root of all errors that Swirl raises on purpose."""


class DefinitionError(SwirlError, ValueError):
    """A pipeline, stage, metric or ratio was defined wrongly; the message says what to write instead."""


class SettingsError(SwirlError, ValueError):
    """A setting has an unusable value; the message names the variable and the values that it takes."""


class FrameError(SwirlError, ValueError):
    """Bytes that cannot be read as a frame.

    Attributes:
        cause: one of ``too_large``, ``foreign``, ``version``, ``values``, ``pipelines``; a metric's label.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class SnapshotError(SwirlError, ValueError):
    """A snapshot cannot be restored: it is damaged, or of a version that this Swirl does not know."""


class TopicsError(SwirlError):
    """Kafka's topics are missing, would lose data as they are, or cannot be seen.

    Attributes:
        do: what a person can do about it; also the end of the message.
        passing: it may be over by itself, such as a broker that does not answer; trying again can help.
    """

    def __init__(self, what: str, *, do: str = "", passing: bool = False) -> None:
        super().__init__(f"{what}; {do}" if do else what)
        self.do = do
        self.passing = passing


class DeliveryError(SwirlError):
    """A sink could not deliver an effect; the outlet in front of it decides what happens next.

    Attributes:
        retry_after: seconds before the next try, as the receiver asked; None leaves it to the backoff.
        permanent: trying again cannot help.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, permanent: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.permanent = permanent


class MissingExtraError(SwirlError, ImportError):
    """An optional dependency is not installed; the message quotes the extra to install."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed. Install it with: pip install 'swirl-monitor[{extra}]'")

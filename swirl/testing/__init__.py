"""Would Swirl have caught it? For a user's own tests: a harness, a clock by hand, a stand-in for Slack.

How to:

1. Put your decorated pipeline under a :class:`Harness`. It takes the pipeline's frames and its clock; no
   thread, no network, no waiting.
2. :meth:`~Harness.drive` healthy records through it for some virtual hours. That is the past that the monitor
   learns (or go on from a past that was learnt once: :meth:`~Harness.save` and ``resume=``).
3. Break something as the world would, drive on, and read ``incidents``, ``changes``, ``alarms``,
   ``verdicts``, :meth:`~Harness.points`, or the pipeline's own ``verdict``.

Example:
    >>> import swirl
    >>> shop = swirl.Pipeline("shop", version="1")
    >>> @shop.stage(predicts=True)
    ... def score(basket):
    ...     return "buy" if basket in wanted else "skip"
    >>> wanted = {0, 1, 2}
    >>> with Harness(shop) as harness:
    ...     harness.drive(lambda: score(harness.calls * 7 % 10), per_second=10, hours=0.5)
    ...     shop.version, wanted = "2", {5}
    ...     harness.drive(lambda: score(harness.calls * 7 % 10), per_second=10, seconds=60)
    >>> [incident.title for incident in harness.incidents]
    ['score: bad deployment']

Records whose time matters are sent one by one: call the stages, then :meth:`~Harness.advance`. To see what
people would read in Slack, hand the effects to the real sink and let it talk to a :class:`SlackStandIn`.
"""

from swirl.testing.clock import ManualClock
from swirl.testing.harness import Harness, HarnessState
from swirl.testing.slack import SlackMessage, SlackStandIn

__all__ = ["Harness", "HarnessState", "ManualClock", "SlackMessage", "SlackStandIn"]

"""For a user's own tests: a clock by hand, a harness for a decorated pipeline, a stand-in for Slack."""

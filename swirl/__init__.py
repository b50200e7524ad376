"""Analytics for analytics: one decorator tells which stage of an ML pipeline broke, and why."""

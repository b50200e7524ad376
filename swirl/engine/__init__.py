"""How a monitor is driven."""

"""What lives inside the user's pipeline: small, fast, never raises, never blocks."""

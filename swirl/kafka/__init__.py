"""What everybody who talks to Kafka shares: how to connect, and which topics there are."""

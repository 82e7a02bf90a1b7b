"""The live stream: changed values to every client, each at its own rate."""

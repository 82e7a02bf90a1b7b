"""Model servers: how each kind is known by its answers, and what it tells. GET alone, on loopback alone."""

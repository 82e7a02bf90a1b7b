"""Model servers: identified by their answers, then scraped. GET requests only, on loopback only."""

"""Collectors of model runtimes: hooks and the proxy push events into one meter; servers are found and scraped."""

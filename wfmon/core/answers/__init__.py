"""The answers of the services, a file a topic: what pages and routes get, as it leaves in JSON (docs/openapi.yaml).

Instants are UTC milliseconds, in names that end in ``_ms``; None is absent, never 0.
"""

"""The services' answers, one file per topic, in the form that pages use and the API encodes (docs/openapi.yaml).

Instants are UTC milliseconds, in names that end in ``_ms``. None is absent, never 0.
"""

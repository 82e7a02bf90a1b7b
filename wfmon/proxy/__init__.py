"""The streaming proxy: observes every client of a model server without code changes. A separate process.

``tunnel`` forwards bytes from one side to the other, then parses a copy: ``http1`` splits it into heads and bodies,
``exchange`` tracks one request and its response, ``dialects`` interprets the servers' APIs, ``lines`` splits a stream
into events, and ``reporting`` sends the results to the monitor. With ``--logprobs`` only, ``rewriting`` and
``logprobs`` request log-probabilities and strip them from the responses. ``server`` is the listener, ``command`` the
command line. ``supervise`` runs in the monitor's process.
"""

"""The streaming pass-through: every client of a model server is seen with no code. A process of its own.

The way of a byte: ``tunnel`` reads it from one side and writes it to the other; only then ``http1`` cuts the copy into
heads and bodies, ``exchange`` follows one request and its answer, ``dialects`` knows what the servers' answers mean,
``lines`` cuts a stream into events and ``logprobs`` reads what they say of certainty. ``ask`` is there only with
``--logprobs``: it asks for log-probabilities and takes them out again. ``server`` holds the listener and its end,
``command`` the command line; ``supervise`` is the monitor's side and runs in the monitor's process.
"""

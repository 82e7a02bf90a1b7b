"""Report everything yourself: the length of the prompt, each token, and how certain the model was."""

import random
import time

from wfmon.hook import observe

with observe(model="my-own-loop", vocab_size=32_000) as request:
    request.prompt(tokens=12)
    for _ in range(20):
        time.sleep(0.02)  # here the model works
        request.token(entropy=random.uniform(0.5, 4.0))  # bits, of the whole distribution

with observe(model="my-own-loop", vocab_size=32_000) as request:
    request.prompt(tokens=12)
    for _ in range(20):
        time.sleep(0.02)
        request.token(logprobs=[-0.2, -2.3, -3.1])  # or the most likely few: wfmon then shows bounds

# ruff: noqa: TID251

"""Models for benchmarks: so many hooked streams of tokens at a given rate, in a process of its own.

    WFMON_DATA=... .venv-test/bin/python bench/feeder.py MODELS TOKENS_PER_SECOND [TOKENS_A_REQUEST]

Each stream goes through the hook as a user's would, with an entropy and twenty log-probabilities a token. Runs until
its standard input ends.
"""

from __future__ import annotations

import math
import random
import sys
import threading
import time

from wfmon.hook import observe

VOCAB = [f"word{i}" for i in range(2_000)]


def stream(number: int, rate: float, length: int, stop: threading.Event) -> None:
    dice = random.Random(number)
    due = time.monotonic() + number / rate / 8
    while not stop.is_set():
        with observe(model=f"bench-{number}", vocab="bench", vocab_size=len(VOCAB)) as request:
            request.prompt(tokens=100)
            for _ in range(length):
                due += 1 / rate
                time.sleep(max(0.0, due - time.monotonic()))
                weights = sorted((dice.random() ** 6 + 1e-9 for _ in range(20)), reverse=True)
                total = sum(weights) * 1.05
                picked = dice.sample(VOCAB, 20)
                request.token(logprobs=[math.log(w / total) for w in weights], tokens=picked)
                if stop.is_set():
                    break
        due = max(due, time.monotonic()) + dice.random() * 0.5


def main() -> None:
    models, rate = int(sys.argv[1]), float(sys.argv[2])
    length = int(sys.argv[3]) if len(sys.argv) > 3 else 400
    stop = threading.Event()
    threads = [threading.Thread(target=stream, args=(n, rate, length, stop), daemon=True) for n in range(models)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join(2)


main()

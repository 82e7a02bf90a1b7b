"""Any iterator of tokens: wrap it, and use it as before."""

import time

from wfmon.hook import observe


def my_model(prompt):
    """Stand in for a model that yields one token after another."""
    for word in f"You said: {prompt}".split():
        time.sleep(0.03)
        yield word + " "


for token in observe(my_model("hello, how are you today?"), model="my-model"):
    print(token, end="", flush=True)
print()

# ruff: noqa: ANN001, ANN201, TID251

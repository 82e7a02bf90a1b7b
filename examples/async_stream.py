"""Any async iterator, the same way."""

import asyncio

from wfmon.hook import observe


async def my_model(prompt):
    """Stand in for a model that yields one token after another."""
    for word in f"You said: {prompt}".split():
        await asyncio.sleep(0.03)
        yield word + " "


async def main():
    """Print the answer as it comes."""
    async for token in observe(my_model("hello, how are you today?"), model="my-async-model"):
        print(token, end="", flush=True)
    print()


asyncio.run(main())

# ruff: noqa: ANN001, ANN201

"""The OpenAI client, async."""

import asyncio
import os

from openai import AsyncOpenAI

from wfmon.hook import observe


async def main():
    """Print the answer as it comes."""
    base_url = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
        answer = client.chat.completions.create(
            model=os.environ.get("MODEL", "local"),
            messages=[{"role": "user", "content": "What is the sea?"}],
            max_tokens=24,
            stream=True,
        )
        async for chunk in observe(answer):  # not awaited, so that the request's clock starts here
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


asyncio.run(main())

# ruff: noqa: ANN201

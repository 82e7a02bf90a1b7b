"""The OpenAI client, with any compatible server: OPENAI_BASE_URL and MODEL set the server and the model."""

import os

from openai import OpenAI

from wfmon.hook import observe

client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"), api_key="none")

stream = client.chat.completions.create(
    model=os.environ.get("MODEL", "local"),
    messages=[{"role": "user", "content": "What is the sea?"}],
    max_tokens=24,
    stream=True,
    stream_options={"include_usage": True},  # exact counts at the end
    logprobs=True,  # with these wfmon shows how certain the model was; omit them if your server refuses them
    top_logprobs=5,
)
for chunk in observe(stream):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

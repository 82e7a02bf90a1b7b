"""The Ollama client. OLLAMA_HOST and MODEL set the server and the model."""

import os

from ollama import Client

from wfmon.hook import observe

client = Client(host=os.environ.get("OLLAMA_HOST", "http://127.0.0.1:11434"))

stream = client.chat(
    model=os.environ.get("MODEL", "llama3.2"),
    messages=[{"role": "user", "content": "What is the sea?"}],
    stream=True,
    logprobs=True,  # Ollama 0.12.11 and later
    top_logprobs=5,
)
for chunk in observe(stream):
    print(chunk.message.content or "", end="", flush=True)
print()

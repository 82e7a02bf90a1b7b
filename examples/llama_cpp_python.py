"""llama-cpp-python in your own process: its stream for the times, its logits for the exact entropy."""

import os

from llama_cpp import Llama, LogitsProcessorList

from wfmon.hook import observe

llm = Llama(os.environ["GGUF"], verbose=False)
prompt = "The sea is"

with observe(model="my-gguf") as request:
    request.prompt(tokens=len(llm.tokenize(prompt.encode())))
    chunks = llm.create_completion(
        prompt, max_tokens=24, stream=True, logits_processor=LogitsProcessorList([request.logits])
    )
    for chunk in request.follow(chunks):
        print(chunk["choices"][0]["text"], end="", flush=True)
print()

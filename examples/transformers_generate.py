"""Hugging Face transformers: one object, passed twice. MODEL is a folder or a name on the hub."""

import os

from transformers import AutoModelForCausalLM, AutoTokenizer

from wfmon.hook import Watcher

name = os.environ.get("MODEL", "HuggingFaceTB/SmolLM2-135M-Instruct")
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)

watcher = Watcher(os.path.basename(name), vocab_size=model.config.vocab_size)  # noqa: PTH119
inputs = tokenizer("The sea is", return_tensors="pt")
output = model.generate(**inputs, max_new_tokens=24, streamer=watcher, logits_processor=[watcher])
print(tokenizer.decode(output[0]))

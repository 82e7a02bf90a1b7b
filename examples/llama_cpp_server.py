"""llama-cpp-python's server, hooked: start it with this file in place of ``python -m llama_cpp.server``."""

import os

import llama_cpp
import uvicorn
from llama_cpp.server.app import create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings

from wfmon.hook import observe

HOST, PORT = "127.0.0.1", int(os.environ.get("PORT", "8000"))
MODEL = os.environ["GGUF"]


class Seen(llama_cpp.Llama):
    """A model whose completions are all reported to wfmon; chats become completions too."""

    def create_completion(self, *args, **kwargs):
        """Answer as before."""
        request = observe(model=os.path.basename(MODEL), server=f"{HOST}:{PORT}")  # noqa: PTH119
        given = kwargs.pop("logits_processor", None) or []
        if kwargs.get("stream"):
            kwargs["logits_processor"] = llama_cpp.LogitsProcessorList([*given, request.logits])
            return request.follow(super().create_completion(*args, **kwargs))
        kwargs["logits_processor"] = llama_cpp.LogitsProcessorList([*given, request.steps])
        with request:
            answer = super().create_completion(*args, **kwargs)
            usage = answer["usage"]
            request.end(prompt_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"])
        return answer


llama_cpp.Llama = Seen
app = create_app(server_settings=ServerSettings(), model_settings=[ModelSettings(model=MODEL, verbose=False)])
uvicorn.run(app, host=HOST, port=PORT)

# ruff: noqa: ANN002, ANN003, ANN201

"""Write a tiny GGUF model with random weights that real runtimes can load, for tests. ``make_gguf.py OUT [SEED]``.

Architecture llama, 2 blocks of 64, a vocabulary of 320 with byte fallback; half a megabyte. Its text is noise; times,
counts and distributions are real. Needs ``gguf`` and numpy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

SEED = 7
BLOCKS, WIDTH, HEADS, FEED, CONTEXT = 2, 64, 4, 128, 512
VOCABULARY = 320
SCALE = 0.6
"""Scale of the weights: larger weights make the model more certain."""
TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def make(path: Path, seed: int = SEED) -> Path:
    """Write the file, the same bytes for the same seed. Returns its path."""
    import numpy as np

    gguf = import_module("gguf")  # installed only with the model runtimes
    writer: Any = gguf.GGUFWriter(path, "llama")
    writer.add_name("wfmon-tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _vocabulary(writer, gguf.TokenType)
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:  # noqa: ANN401  numpy's arrays are typed loosely here
        return (rng.standard_normal(shape) * SCALE / WIDTH**0.5).astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    writer.add_tensor("token_embd.weight", weights(VOCABULARY, WIDTH) * 4)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", weights(VOCABULARY, WIDTH) * 3)
    for block in range(BLOCKS):
        for name, shape in (
            ("attn_q", (WIDTH, WIDTH)), ("attn_k", (WIDTH, WIDTH)), ("attn_v", (WIDTH, WIDTH)),
            ("attn_output", (WIDTH, WIDTH)), ("ffn_gate", (FEED, WIDTH)), ("ffn_up", (FEED, WIDTH)),
            ("ffn_down", (WIDTH, FEED)),
        ):  # fmt: skip
            writer.add_tensor(f"blk.{block}.{name}.weight", weights(*shape))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{block}.{name}.weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary(writer: Any, kind: Any) -> None:  # noqa: ANN401  gguf ships no types for its writer
    """Add three special tokens, 256 bytes and 61 short words."""
    words = [f"▁{first}{second}" for first in "tsaowicbpm" for second in "heoiau"] + ["▁"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256, *[kind.NORMAL] * len(words)]
    if len(tokens) != VOCABULARY:
        raise ValueError(f"{len(tokens)} tokens, not {VOCABULARY}")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(rank) for rank in range(len(words))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(make(Path(sys.argv[1]), *map(int, sys.argv[2:3])))

"""The hook in processes that run real models: transformers and llama-cpp-python, tiny and with random weights."""

from __future__ import annotations

import math

import pytest

from scripts.make_gguf import make
from tests.kit.hook_receiver import Receiver
from wfmon.hook.hook import Hook
from wfmon.hook.place import find
from wfmon.hook.request import Request
from wfmon.hook.watcher import Watcher

pytestmark = [pytest.mark.runtimes, pytest.mark.filterwarnings("default")]


@pytest.fixture
def monitor(tmp_path):
    made = Receiver(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def hook(monitor):
    made = Hook(find=lambda: find(str(monitor.folder)))
    yield made
    made.close(5)
    assert made.errors == 0


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def tiny(torch):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    config = transformers.GPT2Config(
        vocab_size=96, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=95,
        initializer_range=0.6,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    pytest.importorskip("gguf")
    llama_cpp = pytest.importorskip("llama_cpp")
    path = make(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    made = llama_cpp.Llama(str(path), n_ctx=256, verbose=False, logits_all=True)
    yield made
    made.close()


def bits(rows):
    """Entropy of each row of logits in float64, written another way than the hook does."""
    found = []
    for row in rows:
        top = max(row)
        weights = [math.exp(x - top) for x in row if x > -math.inf]
        total = sum(weights)
        found.append(-sum(w / total * math.log2(w / total) for w in weights if w > 0))
    return found


def told(lines, name):
    return [value for line in lines if line["e"] == "tokens" for value in line.get(name, [None] * len(line["t"]))]


@pytest.mark.parametrize("sample", [False, True])
def test_transformers_tells_every_token_and_its_exact_entropy(monitor, hook, torch, tiny, sample):
    watcher = Watcher("tiny-gpt2", hook=hook)
    prompt = torch.tensor([[1, 2, 3, 4, 5]])
    out = tiny.generate(
        prompt, max_new_tokens=20, min_new_tokens=20, do_sample=sample, top_k=5, temperature=0.7, streamer=watcher,
        logits_processor=[watcher], return_dict_in_generate=True, output_logits=True, pad_token_id=0,
    )  # fmt: skip
    lines = monitor.ended()
    start = next(line for line in lines if line["e"] == "start")
    assert start["model"] == "tiny-gpt2"
    assert "again" not in start
    assert [line["tokens"] for line in lines if line["e"] == "prompt"] in ([5], [])
    assert start.get("prompt_tokens", 5) == 5
    entropy = told(lines, "entropy")
    # min_new_tokens forbids the end token: what the model chose from is the logits without it.
    logits = [row[0].tolist() for row in out.logits]
    expected = bits([[-math.inf if i == 95 else x for i, x in enumerate(row)] for row in logits])
    assert len(entropy) == 20
    assert entropy == pytest.approx(expected, abs=1e-4)
    assert set(told(lines, "k")) == {96}
    times = [t for line in lines if line["e"] == "tokens" for t in line["t"]]
    assert times == sorted(times)
    assert times[0] >= start["t"]
    assert lines[-1] == {"e": "end", "r": start["r"], "t": lines[-1]["t"], "status": "ok"}
    assert lines[0]["runtime"] == "transformers"


def test_one_watcher_serves_generate_after_generate_and_passes_all_on_to_a_streamer(monitor, hook, torch, tiny):
    class Mine:
        def __init__(self):
            self.got = []

        def put(self, value):
            self.got.append(value.flatten().tolist())

        def end(self):
            self.got.append("end")

    mine = Mine()
    watcher = Watcher("tiny", streamer=mine, hook=hook)
    outs = [
        tiny.generate(torch.tensor([[7, 8]]), max_new_tokens=4, min_new_tokens=4, streamer=watcher, pad_token_id=0)
        for _ in range(2)
    ]
    lines = monitor.ended(2)
    assert [line["r"] for line in lines if line["e"] == "start"] == ["1", "2"]
    tokens = outs[0][0].tolist()
    assert mine.got[:6] == [tokens[:2], *([t] for t in tokens[2:]), "end"]
    assert told(lines, "entropy") == [None] * 8


def test_alone_as_a_logits_processor_it_counts_tokens_and_owns_that_the_start_was_not_seen(monitor, hook, torch, tiny):
    with Watcher("tiny", hook=hook) as watcher:
        out = tiny.generate(
            torch.tensor([[7, 8]]), max_new_tokens=6, min_new_tokens=6, logits_processor=[watcher], pad_token_id=0,
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
    lines = monitor.ended()
    assert [line.get("again") for line in lines if line["e"] == "start"] == [True]
    expected = bits([[-math.inf if i == 95 else x for i, x in enumerate(row[0].tolist())] for row in out.logits])
    assert told(lines, "entropy") == pytest.approx(expected, abs=1e-4)


def test_a_generate_that_fails_ends_as_an_error(monitor, hook, torch, tiny):
    def breaks(input_ids, scores):
        if input_ids.shape[-1] == 4:
            raise RuntimeError("broken on purpose")
        return scores

    with pytest.raises(RuntimeError, match="broken on purpose"), Watcher("tiny", hook=hook) as watcher:
        tiny.generate(
            torch.tensor([[7, 8]]), max_new_tokens=6, streamer=watcher, logits_processor=[watcher, breaks],
            pad_token_id=0,
        )  # fmt: skip
    end = monitor.ended()[-1]
    assert (end["status"], end["reason"]) == ("error", "runtimeerror")


def test_a_forbidden_token_takes_no_part_in_the_entropy(torch):
    from wfmon.hook.logits import entropy

    row = [1.0, 2.0, -math.inf, 0.5]
    value, size = entropy(torch.tensor([row]))
    assert size == 4
    assert float(value) == pytest.approx(bits([row])[0], abs=1e-5)
    assert float(entropy(torch.tensor([[1.0, 2.0]]).bfloat16())[0]) == pytest.approx(bits([[1.0, 2.0]])[0], abs=1e-5)


def test_llama_cpp_tells_its_stream_with_the_exact_entropy_of_its_logits(monitor, hook, llm):
    from llama_cpp import LogitsProcessorList

    seen = []

    def keep(input_ids, scores):
        seen.append(scores.copy().tolist())
        return scores

    with Request("tiny-gguf", hook=hook) as request:
        chunks = llm.create_completion(
            "the sea", max_tokens=16, stream=True, seed=3, logits_processor=LogitsProcessorList([keep, request.logits])
        )
        texts = [chunk["choices"][0]["text"] for chunk in request.follow(chunks)]
    lines = monitor.ended()
    entropy = told(lines, "entropy")
    counts = told(lines, "n")
    expected = bits(seen)
    # One step a token; a chunk of several steps has the entropy of its last one.
    at, picked = -1, []
    for count in counts:
        at += count or 1
        picked.append(expected[at])
    assert entropy == pytest.approx(picked, abs=1e-4)
    assert len(entropy) <= sum(map(bool, texts))
    assert set(told(lines, "k")) == {320}
    assert lines[-1]["status"] == "ok"


def test_llama_cpp_chats_tell_log_probabilities_and_the_reason_of_the_end(monitor, hook, llm):
    request = Request("", hook=hook)
    chunks = llm.create_chat_completion(
        [{"role": "user", "content": "hi"}], max_tokens=8, stream=True, logprobs=True, top_logprobs=4, seed=3
    )
    given = list(request.follow(chunks))
    lines = monitor.ended()
    start = next(line for line in lines if line["e"] == "start")
    assert start["model"] == "tiny.gguf"
    tops = [top for top in told(lines, "top") if top]
    assert tops
    assert all(top == sorted(top, reverse=True) and top[0] <= 0 for top in tops)
    assert lines[-1]["reason"] == given[-1]["choices"][0]["finish_reason"]
    assert sum(n or 1 for n in told(lines, "n")) <= 8


def test_a_whole_answer_is_told_step_by_step(monitor, hook, llm):
    from llama_cpp import LogitsProcessorList

    with Request("tiny", hook=hook) as request:
        answer = llm.create_completion(
            "the sea", max_tokens=8, seed=3, logits_processor=LogitsProcessorList([request.steps])
        )
        request.end(output_tokens=answer["usage"]["completion_tokens"])
    lines = monitor.ended()
    # The token that ends the answer is asked for too, and is none of it.
    assert len(told(lines, "entropy")) - answer["usage"]["completion_tokens"] in {0, 1}
    assert all(0 < value < math.log2(320) for value in told(lines, "entropy"))
    assert lines[-1]["output_tokens"] == answer["usage"]["completion_tokens"]

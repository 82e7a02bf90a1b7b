"""Exact entropy of a model's full distribution, from the logits that a runtime passes to its processors.

Uses only libraries that the caller has imported. A tensor on a GPU is processed there; the result is read when its
token has been copied to the host anyway, so there is no second wait for the GPU.
"""

# ruff: noqa: ANN401 - chunks, scores and streams may have any type
from __future__ import annotations

import sys
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wfmon.hook.request import Request

LN2 = 0.6931471805599453
MOST = 64
"""Most steps waiting for their token: a runtime may hold text back."""


class Logits:
    """A logits processor for one request; returns the scores unchanged. One thread.

    ``reports_tokens``: each call also reports the token of the previous call, for a runtime without a stream.
    """

    def __init__(self, request: Request, *, reports_tokens: bool = False) -> None:
        self._request = request
        self._reports_tokens = reports_tokens
        self._waiting: deque[tuple[Any, int]] = deque(maxlen=MOST)
        # (bits, size of the distribution) of each step whose token was not reported yet; bits may be on the GPU.
        self.called = False

    def __call__(self, _input_ids: Any, scores: Any) -> Any:
        try:
            if self._reports_tokens:
                self.report()
            self.called = True
            self._waiting.append(entropy(scores))
        except Exception as error:  # noqa: BLE001  the model must not notice
            self._request.trouble(error)
        return scores

    def report(self) -> None:
        """Report the token of the oldest waiting step, if any."""
        if self._waiting:
            bits, k = self.step()
            self._request.token(entropy=bits, k=k)

    def step(self) -> tuple[float | None, int | None]:
        """Return (bits, k) of the oldest waiting step."""
        if not self._waiting:
            return None, None
        bits, size = self._waiting.popleft()
        return (None, None) if bits is None else (float(bits), size)

    def steps(self) -> tuple[int, float | None, int | None]:
        """Return the number of waiting steps, and (bits, k) of the last one."""
        many = len(self._waiting)
        last = list(self._waiting)[-1:]
        self._waiting.clear()
        if not last or last[0][0] is None:
            return many, None, None
        return many, float(last[0][0]), last[0][1]


def entropy(scores: Any) -> tuple[Any, int]:
    """Return (bits, size) of the last row of logits; bits is None if unknown. A forbidden token has -inf."""
    size = int(scores.shape[-1])
    library = type(scores).__module__.partition(".")[0]
    row = scores if len(scores.shape) == 1 else scores.reshape(-1, size)[-1]
    if library == "torch" and "torch" in sys.modules:
        torch = sys.modules["torch"]
        with torch.no_grad():
            return torch.special.entr(torch.softmax(row.detach().float(), -1)).sum() / LN2, size
    if library == "numpy" and "numpy" in sys.modules:
        return _numpy(sys.modules["numpy"], row), size
    return None, size


def _numpy(np: Any, row: Any) -> float | None:
    # H = ln Z - sum(e^x x) / Z, with the largest logit shifted to 0; e^-inf (-inf) counts as 0.
    x = np.asarray(row, np.float32) - np.float32(row.max())
    e = np.exp(x)
    total = float(e.sum(dtype=np.float64))
    x[e == 0] = 0
    bits = (float(np.log(total)) - float(np.dot(e, x)) / total) / LN2
    return max(0.0, bits) if bits == bits else None  # noqa: PLR0124  not a number

"""The exact entropy of a model's whole distribution, from the logits that a runtime hands to its processors.

Only what the caller has imported is used. A tensor on a graphics card is worked on there; its one number is read when
the token that it belongs to is on this side anyway, so the card is not waited for twice.
"""

# ruff: noqa: ANN401 - chunks, scores and streams are of any make
from __future__ import annotations

import sys
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wfmon.hook.request import Request

LN2 = 0.6931471805599453
MOST = 64
"""Steps whose number waits for its token at most: a runtime may hold text back."""


class Logits:
    """A logits processor for one request: gives the scores back as they are. One thread.

    ``tells``: each call also tells the token that the call before it led to, for a runtime that gives no stream.
    """

    def __init__(self, request: Request, *, tells: bool = False) -> None:
        self._request = request
        self._tells = tells
        self._waiting: deque[tuple[Any, int]] = deque(maxlen=MOST)
        # (bits, size of the distribution), one a step whose token was not told yet; bits may lie on a card.
        self.called = False

    def __call__(self, _input_ids: Any, scores: Any) -> Any:
        try:
            if self._tells:
                self.tell()
            self.called = True
            self._waiting.append(entropy(scores))
        except Exception as error:  # noqa: BLE001  the model must not notice
            self._request.trouble(error)
        return scores

    def tell(self) -> None:
        """Tell the token of the step that waits, if one does."""
        if self._waiting:
            bits, k = self.step()
            self._request.token(entropy=bits, k=k)

    def step(self) -> tuple[float | None, int | None]:
        """Give (bits, k) of the oldest step that waits."""
        if not self._waiting:
            return None, None
        bits, size = self._waiting.popleft()
        return (None, None) if bits is None else (float(bits), size)

    def steps(self) -> tuple[int, float | None, int | None]:
        """Give how many steps wait, and (bits, k) of the last one."""
        many = len(self._waiting)
        last = list(self._waiting)[-1:]
        self._waiting.clear()
        if not last or last[0][0] is None:
            return many, None, None
        return many, float(last[0][0]), last[0][1]


def entropy(scores: Any) -> tuple[Any, int]:
    """Give (bits, size) of the last row of logits; bits None where they cannot be told. A forbidden token has -inf."""
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
    # H = ln Z - sum(e^x x) / Z, with the greatest logit as zero; e^-inf (-inf) counts as nothing.
    x = np.asarray(row, np.float32) - np.float32(row.max())
    e = np.exp(x)
    total = float(e.sum(dtype=np.float64))
    x[e == 0] = 0
    bits = (float(np.log(total)) - float(np.dot(e, x)) / total) / LN2
    return max(0.0, bits) if bits == bits else None  # noqa: PLR0124  not a number

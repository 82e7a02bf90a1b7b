"""What collectors ask: a pynvml that answers from a file of scripts/capture_nvml.py's form, and the parts' probes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from wfmon.collect.monitor import Probes

DATA = Path(__file__).parents[1] / "data"
NAN = float("nan")
PROBES = Probes(
    collectors_cpu_ns=lambda: 0, samples_in=lambda: 12_000, samples_dropped=lambda: {"late": 3, "out_of_range": 1},
    beats_skipped=lambda: {"wfmon-gpu": 7}, errors=lambda: {"ticker": 2}, requests_refused=lambda: {"host": 5},
    queues=lambda: {"ticker": (4, 512)}, clients=lambda: 6, clients_slowed=lambda: 1,
    clients_closed=lambda: {"stalled": 2}, series=lambda: 88, cache_bytes=lambda: 5_000, cache_seconds=lambda: 299.5,
    tick_late_ms=lambda: 1.25, tick_work_ms=lambda: 2.5, encode_us=lambda: None,
)  # fmt: skip


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(f"code {value}")
        self.value = value


class ReplayNvml:
    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM, NVML_CLOCK_MEM, nvmlMemory_v2 = 0, 1, 2, 33554472  # noqa: N815  NVML's own names

    def __init__(self, name="two_cards.json"):
        self.devices = json.loads((DATA / "nvml" / name).read_text("utf-8"))["devices"]
        self.inits = self.shutdowns = self.asked = 0
        self.init_error = None
        self.broken = {}  # card -> code that each of its calls gives

    def nvmlInit(self):  # noqa: N802  NVML's own names
        if self.init_error is not None:
            raise NVMLError(self.init_error)
        self.inits += 1

    def nvmlShutdown(self):  # noqa: N802
        self.shutdowns += 1

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "580.00"

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, number):  # noqa: N802
        return number

    def __getattr__(self, name):
        def call(card, *arguments, version=None):
            self.asked += 1
            if card in self.broken:
                raise NVMLError(self.broken[card])
            given = arguments or ((version,) if version else ())
            answer = self.devices[card][f"{name}({given[0]})" if given else name]
            if "error" in answer:
                raise NVMLError(answer["error"])
            return shaped(answer["value"])

        return call


def shaped(value):
    if isinstance(value, dict):
        return SimpleNamespace(**value)
    return [shaped(one) for one in value] if isinstance(value, list) else value

"""Record NVML's answers on this machine, in the format that the tests replay.

    .venv/bin/python scripts/capture_nvml.py FILE

Run it on a machine with an NVIDIA card. The file contains the cards' names and counters and, of processes, only their
ids and memory; check it before you share it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml

CALLS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("nvmlDeviceGetName", ()),
    ("nvmlDeviceGetPciInfo", ()),
    ("nvmlDeviceGetUtilizationRates", ()),
    ("nvmlDeviceGetMemoryInfo", ()),
    ("nvmlDeviceGetMemoryInfo", (pynvml.nvmlMemory_v2,)),
    ("nvmlDeviceGetTemperature", (pynvml.NVML_TEMPERATURE_GPU,)),
    ("nvmlDeviceGetPowerUsage", ()),
    ("nvmlDeviceGetEnforcedPowerLimit", ()),
    ("nvmlDeviceGetClockInfo", (pynvml.NVML_CLOCK_SM,)),
    ("nvmlDeviceGetClockInfo", (pynvml.NVML_CLOCK_MEM,)),
    ("nvmlDeviceGetFanSpeed", ()),
    ("nvmlDeviceGetComputeRunningProcesses", ()),
    ("nvmlDeviceGetGraphicsRunningProcesses", ()),
)
FIELDS = ("gpu", "memory", "total", "reserved", "free", "used", "busId", "pid", "usedGpuMemory")
"""The recorded fields of NVML's structures."""


def main(target: str) -> None:
    """Call every NVML function that the gpu collector calls, for every card."""
    pynvml.nvmlInit()
    driver = pynvml.nvmlSystemGetDriverVersion()
    found = {"source": f"captured, driver {_plain(driver)}", "driver": _plain(driver), "devices": []}
    for number in range(pynvml.nvmlDeviceGetCount()):
        card = pynvml.nvmlDeviceGetHandleByIndex(number)
        answers = {}
        for name, arguments in CALLS:
            key = f"{name}({arguments[0]})" if arguments else name
            answers[key] = _answer(getattr(pynvml, name), card, *arguments)
        found["devices"].append(answers)
    pynvml.nvmlShutdown()
    Path(target).write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _answer(call: Callable[..., Any], *arguments: Any) -> dict[str, Any]:  # noqa: ANN401  any of NVML's calls
    try:
        return {"value": _plain(call(*arguments))}
    except pynvml.NVMLError as error:
        return {"error": error.value}


def _plain(value: Any) -> Any:  # noqa: ANN401  NVML's structures, as JSON
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, int | float | str):
        return value
    return {field: _plain(getattr(value, field)) for field in FIELDS if hasattr(value, field)}


if __name__ == "__main__":
    if len(sys.argv) != 2:  # a program and its argument
        sys.exit(__doc__)
    main(sys.argv[1])

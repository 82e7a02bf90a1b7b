"""wfmon: an oscilloscope for local AI.

The folders are the way a sample travels. ``collect`` measures and returns frames; ``process`` turns counters into rates
and drops what cannot be; ``window`` keeps the last five minutes; ``stream`` sends what changed to every open page, and
``serve`` is the door they come in by. ``core`` is what all of them speak in, and ``runtime`` wires each stage to the
next.
"""

from __future__ import annotations

__version__ = "0.1.0"

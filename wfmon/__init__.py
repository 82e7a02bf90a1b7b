"""wfmon: an oscilloscope for local AI.

The packages follow the path of a sample. ``collect`` measures and returns frames; ``ticker`` passes them on 60 times a
second; ``process`` turns counters into rates and drops impossible values; ``window`` keeps the last five minutes;
``stream`` sends changes to every open page; ``store`` writes the history; ``analyse`` reads it; ``serve`` accepts
connections and ``ui`` builds the pages. All of them use ``core``, and ``runtime`` connects each stage to the next.
``docs/adr/0001-the-way-of-a-sample.md`` walks through four examples.
"""

from __future__ import annotations

__version__ = "0.1.0"

"""wfmon: an oscilloscope for local AI.

The folders are the way of a sample. ``collect`` measures and returns frames; ``ticker`` carries them 60 times a second;
``process`` turns counters into rates and drops impossible values; ``window`` keeps the last five minutes; ``stream``
sends changes to every open page; ``store`` writes the history; ``analyse`` reads it; ``serve`` accepts connections and
``ui`` builds the pages. ``core`` is what all of them use, and ``runtime`` connects each step to the next.
``docs/adr/0001-the-way-of-a-sample.md`` walks through four examples.
"""

from __future__ import annotations

__version__ = "0.1.0"

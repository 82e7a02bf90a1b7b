"""SQLite: what is kept of the past. One thread writes; readers see only what was committed.

Raw samples never reach the disk. A second of all series is one row of the journal; every five minutes the journal
becomes chunks, a blob a series, which are folded into coarser tiers and deleted when their time has come.
"""

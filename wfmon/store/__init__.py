"""The history in SQLite. One thread writes; readers see only committed data.

Raw samples never reach the disk. A second of all series is one row of the journal; every five minutes the journal is
sealed into chunks, one blob per series, which are folded into coarser tiers and deleted after their retention time.
"""

"""Be seen by wfmon: ``from wfmon.hook import observe``. Standard library alone; never blocks, never raises."""

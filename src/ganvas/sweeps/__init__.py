"""Sweeps: one recipe with different settings, run by run. Each run is trained and scored in its own process.

The folder of a sweep:

recipe.toml    what all runs share                       journal.log   the trials, in Optuna's format
sweep.json     what varies, and how runs are scored      logs/         the output of the processes
NAME/          the run directory of a trial              evaluations/  the scores of each run
sweep.csv      one line per run                          table.md      one row per point, over its seeds
sweep.png      the figure (also as sweep.svg)

A trial is a point (a value for each setting that varies) with a seed. The processes are `ganvas train` and
`ganvas evaluate`, so a run of a sweep is like any other run. A sweep may be killed at any moment; running it again
continues it.
"""

from ganvas.sweeps.info import read_plan
from ganvas.sweeps.plan import Plan, Range, read_varied
from ganvas.sweeps.results import Trial, figure, rows, table
from ganvas.sweeps.sweep import Sweep

__all__ = ["Plan", "Range", "Sweep", "Trial", "figure", "read_plan", "read_varied", "rows", "table"]

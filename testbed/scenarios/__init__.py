"""The catalogue of experiments, one file each, and the running of them."""

from .result import RunResult
from .runner import run
from .scenario import SECTIONS, Load, Scenario, catalogue, find, with_load

__all__ = ["SECTIONS", "Load", "RunResult", "Scenario", "catalogue", "find", "run", "with_load"]

"""The catalogue of experiments, one file each, and the running of them."""

from .result import RunResult
from .runner import run
from .scenario import SECTIONS, Scenario, catalogue, find

__all__ = ["SECTIONS", "RunResult", "Scenario", "catalogue", "find", "run"]

"""One experiment: servers, scripted clients and the witnesses, on one clock."""

from .client import Client
from .experiment import Experiment
from .judgement import Check, Verdict
from .lab import Lab

__all__ = ["Check", "Client", "Experiment", "Lab", "Verdict"]

"""One experiment: servers, scripted clients and the witnesses, on one clock."""

from .experiment import Experiment
from .judgement import Check, Verdict
from .lab import Lab
from .programs import Program
from .scripted import Client, ScriptedServer, ScriptedSocket

__all__ = ["Check", "Client", "Experiment", "Lab", "Program", "ScriptedServer", "ScriptedSocket", "Verdict"]

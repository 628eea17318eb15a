"""What can go wrong, by whose fault; each error knows the exit status it ends a command with.

    Error
    +-- UsageError           2   the command line or an argument is wrong
    +-- UnreadableInput      2   a file is missing, is no capture, or stops making sense
    +-- CapabilityError      3   this machine cannot do it; carries the remedy
    +-- TargetError          3   the server under test cannot be started or used
    +-- ExperimentError      1   the experiment itself did not come about as told
        +-- WitnessTimeout   1   a state or segment waited for was not seen in time

A message is one line that says what, where, and what to do.  No error of this tree is ever
shown to a user as a traceback.
"""

from __future__ import annotations


class Error(Exception):
    """Base of every error this project raises on purpose.

    exit_status  of a command that it ends
    """

    exit_status = 1


class UsageError(Error):
    """The caller asked for something that does not exist or does not fit together."""

    exit_status = 2


class UnreadableInput(Error):
    """An input file cannot be read as what it was given as."""

    exit_status = 2


class CapabilityError(Error):
    """This machine, or this user on it, cannot do what was asked.

    `remedy` is what to do about it, as a sentence or a command.
    """

    exit_status = 3

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class TargetError(Error):
    """The server under test cannot be started or used: there is nothing to verify."""

    exit_status = 3


class ExperimentError(Error):
    """An experiment could not be carried out as written."""


class WitnessTimeout(ExperimentError):
    """A state or a segment that was waited for did not show itself in time."""

"""A connection of a live experiment: what its segments show, and what the kernel tells of it besides."""

from __future__ import annotations

from ..errors import CapabilityError
from ..findings import Holder
from ..findings.table import Side
from ..kernel.events import REASONS
from ..tcp.connection import Connection, Ending
from .account import Account


class LiveConnection(Connection):
    """A `Connection` that was seen by the kernel too.

        connection = lab.experiment.connection
        assert connection.closed_by == "client"
        assert connection.states("server")[-2:] == ["LAST_ACK", "CLOSED"]
        assert connection.reset_reason is None
        assert not connection.held_by("server")

    account  the kernel's account of it
    holders  the processes that held its sockets when the experiment was cut
    """

    __slots__ = ("account", "holders")

    account: Account
    holders: tuple[Holder, ...]

    @property
    def closed_by(self) -> Side | None:
        """The end that closed first, by a FIN or by an RST; None while neither has."""
        first = self.first_fin
        if first is None:
            first = self.reset_by
        if first is None:
            return None
        return "client" if first.is_client else "server"

    def states(self, side: Side) -> list[str]:
        """One end's states in order, as the kernel told them: RFC 9293's names.

        With tracepoints (root) every one of them; else those that a sample came upon, and then a state
        that is not among them may have been there all the same: see `saw_every_state`.
        """
        return self.account.states(side)

    @property
    def saw_every_state(self) -> bool:
        """Whether `states` is every state there was."""
        return self.account.whole

    @property
    def reset_reason(self) -> str | None:
        """Why this kernel sent the RST that ended the connection (include/net/rstreason.h).

        None where no RST was sent.  `testbed.kernel.events.REASONS` has each in words.

        Error handling: CapabilityError where an RST was sent and there was nobody to tell why: no
        tracepoints, or a Linux before 6.10.
        """
        reason = self.account.reset_reason
        if reason is None and self.reset_by is not None:
            raise CapabilityError(
                "an RST ended the connection, and the kernel did not tell why"
                + (f": {self.account.problem}" if self.account.problem else ""),
                "run as root on Linux 6.10 or later, where tracepoints tell it",
            )
        return reason

    @property
    def reset_reason_in_words(self) -> str:
        """`reset_reason` and what it means; "" where there is none."""
        reason = self.account.reset_reason
        if reason is None:
            return ""
        return f"{reason}: {REASONS[reason]}" if reason in REASONS else reason

    def held_by(self, side: Side | None = None) -> list[Holder]:
        """The processes that still held the connection's sockets (or one end's) at the experiment's cut."""
        return [holder for holder in self.holders if side is None or holder.side == side]

    @property
    def closed_in_order(self) -> bool:
        """Whether both ends sent their FIN and no RST came."""
        return self.ending is Ending.ORDERLY and self.reset_by is None

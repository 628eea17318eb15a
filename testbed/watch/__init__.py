"""Connections watched while they live: what the kernel's tables show of them, look after look.

    tables --(watcher)--> events --(view)--> lines, a table, JSON Lines

events       what can happen to a connection, one row each, and the account at the end
endings      how a connection ended, from how its sockets went: a table
connections  a connection and its ends
ledger       the book that is kept of them
hearing      what the tracepoints tell, entered into it
watcher      successive looks at the tables, entered into it; pure, with no clock of its own
wanted       which connections are meant: by port, by process, by command
holders      which processes hold the sockets: many looked for at once, the answers kept
wire         what a capture adds: the story of each that has ended
live         the loop: looks, holders, tracepoints, capture
view         events as lines, connections as a table
screen       the part of a terminal that is drawn again and again
display      where it is shown: a terminal, lines, JSON Lines

A look shows what stands still.  That nothing was seen between two of them is never taken for a
proof that nothing was there: an ending between looks rests on the kernel's counter, on the
other end's TIME_WAIT or on a tracepoint, or it is called `unseen`.
"""

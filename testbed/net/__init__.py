"""Networks of one's own, so that what is counted there is all there is.

    private      a network namespace for this process or this thread, as root or as an ordinary user
    network      one that is held by a descriptor, and who else is in it
    command      running a command in one (`testbed exec`)
    enclosed     a command in a PID namespace, of which nothing is left when it is ended
    workers      jobs side by side, each in a process (and a private network) of its own
    child        trying something in a forked child, with its outcome brought back
    hosts        two of them, the client's and the server's, joined by a wire
    link         that wire, with each segment passed, dropped, held, doubled, reordered or forged by rule
    link_process the process that does it; link_events is what it tells
    links        interfaces: raised, joined and counted through rtnetlink and /proc/thread-self/net
    rtnetlink    its messages
    sysctl       the TCP settings of a private network
    firewall     packets dropped on purpose (nftables)
    libc         the system calls that Python 3.11 does not wrap

Linux only; importing is harmless elsewhere, doing anything there is a `CapabilityError`.
"""

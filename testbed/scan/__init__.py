"""Captures too big, or too many, to be explained one connection at a time: a row for each connection.

    pool       several captures: processes of this machine (workers, warm), or a Dask cluster
    job        one capture, from beginning to end
    passing    its one pass: where compiled code stops, the pure core goes on

compiled, and following the pure core line by line:
    records    pcap and pcapng          <-- wire.pcap, wire.pcapng
    frames     a frame's TCP segment    <-- wire.linktype, wire.decode
    incarnations, flows                 <-- tcp.tracker
    follow     a segment                <-- tcp.connection, tcp.classify
    machine    RFC 9293                 <-- tcp.walk, tcp.states
    kinds      what rules may ask of a connection
    ahead      memory, before it is needed

compiled, compiling                     what is compiled, by whom, where it is kept and how it is called
layout, memory, batch                   connections as records
revive     a record as a `tcp.Connection`, and back
verdicts   the pure core's verdict and findings, asked for once for each kind of connection
columns, where, output, summary         the table, a filter, files, counts
telling    the worst connections, explained

A differential test (`tests/scan`) holds every row against `explain`.  Needs the extra `scan`, and is
imported by nothing that does without.
"""

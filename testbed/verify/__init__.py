"""A conformance suite for how a server opens, idles and says goodbye: `testbed verify`.

plan        what is to be verified, and how; profiles has the ways to ask a server to stop
target      the server: started in a private network, watched, signalled, ended with all its children
dialogue    how to talk to it; replies has when a reply is whole
peer        a client that does what a check says; tls for one that speaks TLS
stage       where a check is played: network, capture, kernel, server, clients
seen        what the wire shows of one client's connection; fate what became of its request
survey      what is learned of the server before
checks      the table of checks
outcome     what a check says; result what all of them say
runner      all checks, side by side
"""

"""A process that opens and closes many connections a second on this machine, in a network of its own.

    python -m tests.noise PORT RATE        until its standard input ends

It uses the addresses and the port of the experiments beside it, which tracepoints cannot tell apart.
"""

from __future__ import annotations

import select
import socket
import sys
import time

from testbed.net.private import enter_private_network


def main(port: int, rate: int) -> None:
    """Open, use and close, `rate` times a second."""
    enter_private_network()
    begun, done = time.monotonic(), 0
    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], max(0.0, begun + done / rate - time.monotonic()))[0]:
            with socket.create_connection(listener.getsockname()) as client:
                server, _ = listener.accept()
                with server:
                    client.sendall(b"noise")
                    server.recv(5)
            done += 1
    print(done, f"{done / (time.monotonic() - begun):.0f} a second", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

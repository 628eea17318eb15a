"""Small servers for the tests, as programs: each finds its port in sys.argv[1], and does one thing wrong.

They speak as much HTTP as they must: a head ends with an empty line, and every reply says its length.
"""

from __future__ import annotations

from typing import Final

_COMMON: Final = """
import contextlib, os, select, signal, socket, ssl, struct, sys, threading, time

PORT = int(sys.argv[1])
OK = b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"


def head(connection):
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        more = connection.recv(4096)
        if not more:
            return b""
        data += more
    return data


def length(data):
    fields = data.lower().partition(b"content-length:")[2]
    return int(fields.split(b"\\r\\n")[0]) if fields else 0


def body(connection, data):
    left = length(data) - len(data.partition(b"\\r\\n\\r\\n")[2])
    while left > 0 and (more := connection.recv(4096)):
        left -= len(more)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def serve(connection):
    # one connection, to its end; `connection.settimeout` is its idle timeout
    with connection:
        try:
            while data := head(connection):
                body(connection, data)
                connection.sendall(OK)
        except OSError:
            pass


def threads(listener, serve, each=lambda: None):
    while True:
        each()
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""


def leaves_after(seconds: float) -> str:
    """Told to stop it closes its connections at once, and its process ends so many seconds later."""
    return f"""{_COMMON}
connections = []

def leave(number, frame):
    for connection in connections:
        with contextlib.suppress(OSError):  # it is over already
            connection.shutdown(socket.SHUT_WR)
    time.sleep({seconds})
    os._exit(0)

def keep(connection):
    connections.append(connection)
    serve(connection)

signal.signal(signal.SIGTERM, leave)
threads(socket.create_server(("127.0.0.1", PORT)), keep)
"""


ONE_AT_A_TIME: Final = f"""{_COMMON}
# serves one after the other, one request each, and gives nobody more than 1.5 s for it
listener = socket.create_server(("127.0.0.1", PORT))
while True:
    connection, _ = listener.accept()
    over, data, more = time.monotonic() + 1.5, b"", b"."
    with connection, contextlib.suppress(TimeoutError):
        while more and b"\\r\\n\\r\\n" not in data:
            connection.settimeout(max(0.001, over - time.monotonic()))
            data += (more := connection.recv(4096))
        if more:
            connection.sendall(OK)
"""

ONE_TURN_AT_A_TIME: Final = f"""{_COMMON}
# accepts everybody, and takes 0.4 s for /slow, one after the other, whether or not its client is there
turn = threading.Lock()

def take_turns(connection):
    with connection, contextlib.suppress(OSError):
        while data := head(connection):
            if data.startswith(b"GET /slow"):
                with turn:
                    time.sleep(0.4)
            connection.sendall(OK)

threads(socket.create_server(("127.0.0.1", PORT)), take_turns)
"""

SLOW_TO_ACCEPT: Final = f"""{_COMMON}
# takes 0.4 s for each new connection, and ends one that is idle for 0.7 s
def impatient(connection):
    connection.settimeout(0.7)
    serve(connection)

threads(socket.create_server(("127.0.0.1", PORT)), impatient, each=lambda: time.sleep(0.4))
"""

SHORT_IDLE: Final = f"""{_COMMON}
# ends a connection that is idle for 0.4 s
def impatient(connection):
    connection.settimeout(0.4)
    serve(connection)

threads(socket.create_server(("127.0.0.1", PORT)), impatient)
"""

REFUSES_ON_THE_HEAD: Final = f"""{_COMMON}
# answers an upload on its head alone, takes 512 KiB more, and resets whoever sends more than that
def refuse(connection):
    with connection:
        data = head(connection)
        if length(data) < 1 << 20:
            body(connection, data)
            connection.sendall(OK)
            return
        connection.sendall(TOO_LARGE)
        connection.shutdown(socket.SHUT_WR)
        taken = 0
        while more := connection.recv(65536):
            taken += len(more)
            if taken > 512 << 10:
                return reset(connection)

threads(socket.create_server(("127.0.0.1", PORT)), refuse)
"""

READS_SLOWLY_AND_RESETS: Final = f"""{_COMMON}
# takes two seconds for the first bytes of an upload, refuses it, and closes on top of the rest
def refuse(connection):
    with connection:
        data = head(connection)
        if length(data) < 1 << 20:
            body(connection, data)
            connection.sendall(OK)
            return
        for _ in range(20):
            connection.recv(16384)
            time.sleep(0.1)
        connection.sendall(TOO_LARGE)

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
listener.bind(("127.0.0.1", PORT))
listener.listen()
threads(listener, refuse)
"""


def at_eof(does: str) -> str:
    """Answers at once, but /slow after a second; it `does` that instead for who has sent FIN by then."""
    return f"""{_COMMON}
BAD = b"HTTP/1.1 400 Bad Request\\r\\nContent-Length: 0\\r\\n\\r\\n"

def serve_slowly(connection):
    with connection:
        while data := head(connection):
            if data.startswith(b"GET /slow"):
                connection.settimeout(1)
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1, socket.MSG_PEEK):
                        {does}
                        return
                connection.settimeout(None)
            connection.sendall(OK)

threads(socket.create_server(("127.0.0.1", PORT)), serve_slowly)
"""


def idle_for(first: float, later: float) -> str:
    """Ends a connection that is idle for `first` seconds, and from the seventh on for `later`.

    The seventh is the first of `idle-race` that knows when to ask: before it come the warm-up, the one that
    asks twice, and four that find out.
    """
    return f"""{_COMMON}
came = 0

def impatient(connection):
    global came
    came += 1
    connection.settimeout({first} if came < 7 else {later})
    serve(connection)

threads(socket.create_server(("127.0.0.1", PORT)), impatient)
"""


ENDS_WHEN_WOKEN: Final = f"""{_COMMON}
# ends the first six after a second of silence (see idle_for), the others after 1.6 s; but for these no timer
# wakes it: it sees that they are due when a request does, and then ends them before it reads that
import select

came, limits, due = 0, {{}}, {{}}
listener = socket.create_server(("127.0.0.1", PORT))
while True:
    timers = [due[one] - time.monotonic() for one in due if limits[one] == 1]
    ready, _, _ = select.select([listener, *due], [], [], max(0, min(timers, default=9)))
    for one in [one for one in due if due[one] <= time.monotonic()]:
        del due[one]
        one.close()
    for one in ready:
        if one is listener:
            one, _ = listener.accept()
            came += 1
            limits[one] = 1 if came < 7 else 1.6
        elif one not in due:
            continue
        elif head(one):
            one.sendall(OK)
        else:
            del due[one]
            one.close()
            continue
        due[one] = time.monotonic() + limits[one]
"""

LATE_FOR_ITS_TURN: Final = f"""{_COMMON}
# a process for each connection, which closes when it is idle for a second; that is three milliseconds of work
# between decision and close, on a processor that it shares with one who never rests
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
if not os.fork():
    while True:
        pass
listener = socket.create_server(("127.0.0.1", PORT))
while True:
    connection, _ = listener.accept()
    if os.fork():
        connection.close()
        continue
    listener.close()
    connection.settimeout(1)
    try:
        while head(connection):
            connection.sendall(OK)
    except TimeoutError:
        until = time.thread_time() + 0.003
        while time.thread_time() < until:
            pass
    connection.close()
    signal.pause()
"""


def preforked(*, grows: bool = False, leaks: bool = False) -> str:
    """A master and two workers.

    grows  after some connections there is a third worker, which has opened thirty files of its own
    leaks  a worker keeps the descriptor of every connection
    """
    return f"""{_COMMON}
listener = socket.create_server(("127.0.0.1", PORT))
reading, writing = os.pipe()
kept = []

def work(files):
    held = [open(os.devnull) for _ in range(files)]

    def count(connection):
        if {leaks}:
            kept.append(os.dup(connection.fileno()))
        os.write(writing, b".")
        serve(connection)

    threads(listener, count)

def spawn(files=0):
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        work(files)
    pids.append(pid)

def leave(number, frame):
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    os._exit(0)

pids = []
signal.signal(signal.SIGTERM, leave)
spawn()
spawn()
served = 0
while True:
    served += len(os.read(reading, 4096))
    if {grows} and served >= 8 and len(pids) == 2:
        spawn(30)
"""


def tls(certificate: str, *, says_goodbye: bool) -> str:
    """TLS over asyncio; a connection that is idle for a second is closed, with close_notify or without."""
    end = "writer.close()" if says_goodbye else "writer.transport.abort()"
    return f"""{_COMMON}
import asyncio

async def talk(reader, writer):
    try:
        while True:
            await asyncio.wait_for(reader.readuntil(b"\\r\\n\\r\\n"), 1)
            writer.write(OK)
            await writer.drain()
    except (TimeoutError, asyncio.TimeoutError):
        {end}
    except (asyncio.IncompleteReadError, OSError):
        writer.close()

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain({certificate!r})
    await asyncio.start_server(talk, "127.0.0.1", PORT, ssl=context)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


LOOKS_WHEN_IT_MUST_WAIT: Final = f"""{_COMMON}
LARGE = b"x" * (8 << 20)

def serve_large(connection):
    # no blocking send: a client that has sent FIN while it must wait is taken for gone, as nginx does
    with connection:
        while data := head(connection):
            if not data.startswith(b"GET /large"):
                connection.sendall(OK)
                continue
            reply = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(LARGE) + LARGE
            connection.setblocking(False)
            poll = select.poll()
            poll.register(connection, select.POLLOUT | select.POLLRDHUP)
            while reply:
                try:
                    reply = reply[connection.send(reply):]
                except BlockingIOError:
                    if poll.poll()[0][1] & select.POLLRDHUP:
                        return
            connection.setblocking(True)

threads(socket.create_server(("127.0.0.1", PORT)), serve_large)
"""

NO_HANDLER: Final = f"""{_COMMON}
def serve_slowly(connection):
    with connection:
        while data := head(connection):
            time.sleep(1.0 if data.startswith(b"GET /slow") else 0.0)
            connection.sendall(OK)

threads(socket.create_server(("127.0.0.1", PORT)), serve_slowly)
"""

STOPS_ACCEPTING: Final = f"""{_COMMON}
def leave(number, frame):  # in the thread that accepts: nobody else does, and the listener stays
    time.sleep(1.5)
    os._exit(0)

signal.signal(signal.SIGTERM, leave)
threads(socket.create_server(("127.0.0.1", PORT)), serve)
"""

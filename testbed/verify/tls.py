"""TLS for a check's client: a layer over its plain socket, so that the socket stays the check's own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl

from ..lab.scripted import errno_name


class TlsLayer:
    """One connection's TLS, whoever the server says it is: its certificate is not what is verified here.

    close_notify   whether the server's close_notify came (RFC 8446, 6.1)
    said_goodbye   whether ours was sent
    sent, taken    bytes of the handshake, each way
    """

    def __init__(self, host: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name: str | None = host
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host)
            name = None  # RFC 6066, 3: no literal addresses in server_name
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self.close_notify = False
        self.said_goodbye = False
        self.sent = 0
        self.taken = 0

    async def handshake(self, sock: socket.socket, within: float) -> str:
        """``connected``, or why not."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        self._tls.do_handshake()
                        await self._flush(sock)
                        return "connected"
                    except ssl.SSLWantReadError:
                        await self._flush(sock)
                        data = await loop.sock_recv(sock, 65536)
                        if not data:
                            return "EOF in the TLS handshake"
                        self.taken += len(data)
                        self._in.write(data)
        except TimeoutError:
            return "no answer in the TLS handshake"
        except ssl.SSLError as error:
            return f"TLS: {error.reason or error}"
        except OSError as error:
            return errno_name(error)

    async def _flush(self, sock: socket.socket) -> None:
        data = self._out.read()
        self.sent += len(data)
        await asyncio.get_running_loop().sock_sendall(sock, data)

    def encrypt(self, data: bytes) -> bytes:
        """The records that carry `data`."""
        if data:
            self._tls.write(data)
        return self._out.read()

    def decrypt(self, data: bytes) -> bytes:
        """What the records that are complete by now carry."""
        self._in.write(data)
        return self._plain()

    def goodbye(self) -> bytes:
        """Our close_notify, to be sent."""
        self.said_goodbye = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._out.read()

    def _plain(self) -> bytes:
        plain = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            try:
                while piece := self._tls.read(65536):
                    plain += piece
                self.close_notify = True
            except ssl.SSLZeroReturnError:
                self.close_notify = True
            except ssl.SSLError:  # cut off without it, or an alert
                pass
        return plain

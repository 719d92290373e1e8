"""Visitors of the site: an open loop of pages and their assets, by HTTP and by HTTPS, and slow downloads. All bytes are verified."""

import asyncio
import dataclasses
import itertools
import re
import socket
import ssl
import threading
import time

from machines import CLIENTS, FRONT, HOST
from releases import ASSETS_OF_A_PAGE, LARGE

# Requests in a second: so many pages, and the assets of each.
RATE = 200
VISITS = RATE / (1 + ASSETS_OF_A_PAGE)

# How long a client waits for a response, or for further bytes of a download.
PATIENCE = 8.0

# Requests on a connection, before the client opens another one.
TURNS = 20

DOWNLOADS, BYTES_A_SECOND, PIECE = 50, 400_000, 16_384


@dataclasses.dataclass(eq=False)
class Request:
    """A request with its number, by which the access log has it; times are those of time.time."""

    number: int
    is_download: bool
    is_tls: bool
    path: str
    source: str
    begin: float
    port: int = 0
    end: float = 0.0
    fault: str = ""


class Closed(Exception):
    """The connection ended before the first byte of a response."""


class Connection:
    """A client's connection to the front, with one request at a time."""

    def __init__(self, source, context):
        self._source, self._context = source, context
        self.turns, self._reader, self._writer, self.port, self._begin = 0, None, None, 0, time.monotonic()

    async def open(self):
        endpoint = socket.socket()
        endpoint.setblocking(False)
        # What is received and not yet read is little, so that a slow download is one for the server as well.
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        endpoint.bind((self._source, 0))
        try:
            await asyncio.get_running_loop().sock_connect(endpoint, (FRONT, 443 if self._context else 80))
            options = {"ssl": self._context, "server_hostname": HOST} if self._context else {}
            self._reader, self._writer = await asyncio.open_connection(sock=endpoint, limit=65_536, **options)
        except BaseException:
            endpoint.close()
            raise
        self.port = endpoint.getsockname()[1]
        return self

    def close(self):
        if self._writer:
            self._writer.transport.abort()

    def is_new(self):
        """Whether no request was sent yet. One that waits for a second, as this process may have to, is idle for the server."""
        return self.turns == 0 and time.monotonic() - self._begin < 1

    def is_open(self):
        return not self._reader.at_eof() and self._reader.exception() is None

    async def ask(self, target):
        """The status, the ETag and the length of the response."""
        self.turns += 1
        try:
            self._writer.write(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Closed() if not error.partial else RuntimeError("the end within a head") from error
        except ConnectionError as error:
            raise Closed() from error
        fields = {name.lower(): value for name, value in re.findall(r"(?m)^([\w-]+): (.*)\r$", head.decode())}
        if fields.get("connection") == "close":
            self.turns = TURNS
        return int(head.split(b" ", 2)[1]), fields.get("etag"), int(fields["content-length"])

    async def read(self, length):
        return await self._reader.readexactly(length)


class Load(threading.Thread):
    """Sends requests from now on until `stop`, in a thread."""

    _numbers = itertools.count()

    def __init__(self, contents, certificate, downloads=DOWNLOADS, ways=(False, True)):
        """`ways`: without TLS, with TLS."""
        super().__init__(daemon=True)
        self._contents, self._downloads, self._ways = contents, downloads, ways
        self._large = contents.of_path["large.bin"].copy().pop()
        self._context = ssl.create_default_context(cafile=certificate)
        self._idle = {}
        self._end = threading.Event()
        self.requests, self.retried, self._error = [], 0, None
        self.start()

    def run(self):
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self._error = error
            raise

    def stop(self):
        """Ends the load; requests in flight are completed. Returns all requests."""
        self._end.set()
        self.join()
        if self._error:
            raise RuntimeError("the load has failed") from self._error
        return self.requests

    async def _run(self):
        begin, tasks = time.monotonic(), set()
        for number in range(self._downloads):
            tasks.add(asyncio.create_task(self._download(self._way(number), CLIENTS[number % len(CLIENTS)])))
        for number in itertools.count():
            await asyncio.sleep(begin + number / VISITS - time.monotonic())
            if self._end.is_set():
                break
            page = f"{number % 20}.html"
            tasks.add(asyncio.create_task(self._visit(page, self._way(number), CLIENTS[number // 2 % len(CLIENTS)])))
        await asyncio.gather(*tasks)
        for connection in itertools.chain(*self._idle.values()):
            connection.close()

    def _way(self, number):
        return self._ways[number % len(self._ways)]

    async def _visit(self, page, is_tls, source):
        content = await self._fetch(page, is_tls, source)
        assets = re.findall(r'href="/([^"]*)"', (content or b"").decode())
        await asyncio.gather(*[self._fetch(asset, is_tls, source) for asset in assets])

    def _begin(self, path, is_tls, source, is_download=False):
        self.requests.append(Request(next(self._numbers), is_download, is_tls, path, source, time.time()))
        return self.requests[-1]

    async def _fetch(self, path, is_tls, source):
        """The content, or None after a failure."""
        request = self._begin(path, is_tls, source)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._exchange(request)
        except (OSError, RuntimeError, TimeoutError, Closed, asyncio.IncompleteReadError) as error:
            request.fault = repr(error)
        finally:
            request.end = time.time()

    async def _exchange(self, request):
        idle = self._idle.setdefault((request.is_tls, request.source), [])
        while True:
            while idle and not idle[-1].is_open():
                idle.pop().close()
            is_new = True
            connection = idle.pop() if idle else Connection(request.source, self._context if request.is_tls else None)
            try:
                if connection.turns == 0:
                    await connection.open()
                request.port, is_new = connection.port, connection.is_new()
                status, tag, length = await connection.ask(f"/{request.path}?{request.number}")
                content = await connection.read(length)
            except Closed:
                connection.close()
                # The end of an idle connection and a request may cross: a client sends it once more (RFC 9112 section 9.3.1).
                if is_new:
                    raise
                self.retried += 1
                continue
            except BaseException:
                connection.close()
                raise
            if connection.turns < TURNS:
                idle.append(connection)
            else:
                connection.close()
            request.fault = f"status {status}" if status != 200 else self._contents.fault(request.path, tag, content) or ""
            return None if request.fault else content

    async def _download(self, is_tls, source):
        """The large file, slowly."""
        request = self._begin("large.bin", is_tls, source, True)
        connection = Connection(source, self._context if is_tls else None)
        try:
            async with asyncio.timeout(PATIENCE) as patience:
                await connection.open()
                request.port = connection.port
                status, _, length = await connection.ask(f"/large.bin?{request.number}")
                if (status, length) != (200, LARGE):
                    raise RuntimeError(f"status {status}, {length} bytes")
                begin = time.monotonic()
                for at in range(0, LARGE, PIECE):
                    await asyncio.sleep(begin + at / BYTES_A_SECOND - time.monotonic())
                    patience.reschedule(asyncio.get_running_loop().time() + PATIENCE)
                    if await connection.read(PIECE) != self._large[at : at + PIECE]:
                        raise RuntimeError(f"another content after {at} bytes")
        except (OSError, RuntimeError, TimeoutError, Closed, asyncio.IncompleteReadError) as error:
            request.fault = repr(error)
        finally:
            connection.close()
            request.end = time.time()

"""Clients of others, which fetch files over TLS and in clear: what arrives is what the files are."""

import hashlib
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded

HERE = Path(__file__).parent
SECONDS = 60


def output(command, **options):
    result = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]}: {result.stderr.decode(errors='replace')[-500:]}")
    return result.stdout


def url(port, is_tls, name=""):
    return f"{'https' if is_tls else 'http'}://localhost:{port}/{name}"


def curl(port, is_tls, files, work):
    """All files at the same time. In clear, on a connection each: curl 7.88 sends nothing on one that it uses again, and fails, with
    nginx as well."""
    options = ["--insecure", "--http2", "--parallel"] if is_tls else ["--http2-prior-knowledge"]
    parts = [[url(port, is_tls, name), "--output", str(work / name)] for name in files]
    for chosen in [sum(parts, [])] if is_tls else parts:
        text = output(["curl", "--silent", "--show-error", *options, "--write-out", "%{http_version} %{http_code}\n", *chosen])
        versions = set(text.decode().split("\n")) - {""}
        if versions != {"2 200"}:
            raise RuntimeError(f"curl: {versions}")
    return {name: digest((work / name).read_bytes()) for name in files}


def nghttp(port, is_tls, files, _work):
    return {name: digest(output(["nghttp", url(port, is_tls, name)])) for name in files}


def h2load(port, is_tls, files, _work):
    """1,000 requests on 10 connections with 10 streams each: it counts the bytes."""
    for name, content in files.items():
        count = 1_000 if len(content) < 100_000 else 40
        text = output(["h2load", f"-n{count}", "-c10", "-m10", "-t1", url(port, is_tls, name)]).decode()
        done = re.search(r"(\d+) succeeded, (\d+) failed", text)
        received = int(re.search(r"\((\d+)\) data", text)[1])
        if (int(done[1]), int(done[2]), received) != (count, 0, count * len(content)):
            raise RuntimeError(f"h2load: {text}")
    return {name: digest(content) for name, content in files.items()}


def go(port, is_tls, files, work):
    """Go's net/http, 20 times each file at the same time."""
    program = work / "client"
    if not program.exists():
        shutil.copy(HERE / "client.go", work)
        output(["go", "build", "-o", str(program), "client.go"], cwd=work, env={"HOME": str(work), "PATH": "/usr/bin:/bin"})
    lines = output([str(program), url(port, is_tls), *files]).decode().split("\n")
    return dict(line.split(" ") for line in lines if line)


def h2(port, is_tls, files, _work):
    """PyPI's h2, all files as streams of one connection."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        if is_tls:
            context = ssl._create_unverified_context()
            context.set_alpn_protocols(["h2"])
            connection = context.wrap_socket(connection, server_hostname="a.test")
        client.initiate_connection()
        streams = {}
        for name in files:
            stream = client.get_next_available_stream_id()
            fields = [(":method", "GET"), (":scheme", "https" if is_tls else "http"), (":authority", "a.test"), (":path", f"/{name}")]
            client.send_headers(stream, fields, end_stream=True)
            streams[stream] = (name, bytearray())
        open_streams = set(streams)
        while open_streams:
            connection.sendall(client.data_to_send())
            data = connection.recv(64 * 1024)
            if not data:
                raise RuntimeError("h2: the connection has ended")
            for event in client.receive_data(data):
                match event:
                    case ResponseReceived() if dict(event.headers)[":status"] != "200":
                        raise RuntimeError(f"h2: {event}")
                    case DataReceived():
                        streams[event.stream_id][1].extend(event.data)
                        client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    case StreamEnded():
                        open_streams.discard(event.stream_id)
                    case ConnectionTerminated():
                        raise RuntimeError(f"h2: {event}")
        client.close_connection()
        connection.sendall(client.data_to_send())
    return {name: digest(content) for name, content in streams.values()}


def digest(content):
    return hashlib.sha256(content).hexdigest()


def check_clients(port, is_tls, files, work):
    """Returns whether all clients get all files."""
    wanted = {name: digest(content) for name, content in files.items()}
    is_right = True
    # Go speaks HTTP/2 without TLS only with other modules.
    for client in [curl, nghttp, h2load, h2, *([go] if is_tls else [])]:
        try:
            got = client(port, is_tls, files, work)
            fault = "" if got == wanted else f": {got}, not {wanted}"
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            fault = f": {error}"
        is_right &= not fault
        print(f"{'FAIL' if fault else 'PASS'} {client.__name__} {'over TLS' if is_tls else 'in clear'}{fault}", flush=True)
    return is_right

"""Graceful ends: clients that ask without pause while the server is reloaded again and again, or its package upgraded. Each stream
up to the last one of a GOAWAY is answered whole, none above it is acted on, and no connection is cut."""

import itertools
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset

from clients import HERE, digest, output

RELOADS, VISITORS = 4, 3

# Streams that are always open on a connection, and responses on a new one before the next reload.
STREAMS, ENOUGH = 10, 50

# How long a step may take.
SECONDS = 30

# What is asked for, in this order, again and again.
NAMES = ["large", *["index.html"] * 7, "text.txt", "index.html", "text.txt"]

GOAWAY, ANY_STREAM = 7, 0x7FFFFFFF


class Visit:
    """A connection on which some streams are always open, until the server says which one is the last. It keeps asking after
    the first GOAWAY, which only announces the end, and once after the second, as if the two had crossed."""

    def __init__(self, number, address, files, names):
        self._number, self._files, self._names = number, files, itertools.cycle(names)
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        # An end without close_notify is an error.
        self._socket = context.wrap_socket(socket.create_connection(address, SECONDS), server_hostname="a.test",
                                           suppress_ragged_eofs=False)
        self._client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._received = b""
        self._open = {}
        # By stream, the target; streams that were answered whole; the last stream and the code of each GOAWAY.
        self.targets, self.answered, self.goaways = {}, set(), []

    def run(self, is_over):
        """Until the server ends the connection, or the client has enough and all streams are answered. Returns what is wrong."""
        self._client.initiate_connection()
        while not (is_over() and not self._open):
            while not is_over() and len(self.goaways) < 2 and len(self._open) < STREAMS:
                self._ask()
            self._socket.sendall(self._client.data_to_send())
            data = self._socket.recv(64 * 1024)
            if not data:
                break
            self._receive(data)
        self._socket.close()
        due = {stream for stream in self.targets if stream <= self.last()}
        faults = [f"{len(due - self.answered)} streams are not answered"] if due - self.answered else []
        faults += [f"streams above the last one are answered: {self.answered - due}"] if self.answered - due else []
        ends = [(), (ANY_STREAM,), (ANY_STREAM, self.last())] if is_over() else [(ANY_STREAM, self.last())]
        if tuple(last for last, _ in self.goaways) not in ends or any(code for _, code in self.goaways):
            faults.append(f"GOAWAY {self.goaways}")
        return [f"connection {self._number}: {fault}" for fault in faults]

    def last(self):
        return self.goaways[-1][0] if self.goaways else ANY_STREAM

    def _ask(self):
        stream, name = self._client.get_next_available_stream_id(), next(self._names)
        target = f"/{name}?visit-{self._number}-{stream}"
        fields = {":method": "GET", ":scheme": "https", ":authority": "a.test", ":path": target}
        self._client.send_headers(stream, fields.items(), end_stream=True)
        self.targets[stream] = target
        self._open[stream] = (name, bytearray())

    def _receive(self, data):
        self._received += data
        while len(self._received) >= 9 and len(self._received) >= (length := 9 + int.from_bytes(self._received[:3], "big")):
            frame, self._received = self._received[:length], self._received[length:]
            if frame[3] != GOAWAY:
                for event in self._client.receive_data(frame):
                    self._act(event)
                continue
            # PyPI's h2 would receive nothing more after it.
            self.goaways.append((int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big")))
            if len(self.goaways) == 2:
                for _ in range(STREAMS):
                    self._ask()
                self._open = {stream: response for stream, response in self._open.items() if stream <= self.last()}

    def _act(self, event):
        match event:
            case DataReceived():
                self._open[event.stream_id][1].extend(event.data)
                self._client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                name, content = self._open.pop(event.stream_id)
                if content != self._files[name]:
                    raise RuntimeError(f"stream {event.stream_id}: {len(content)} bytes that are not {name}")
                self.answered.add(event.stream_id)
            case StreamReset():
                raise RuntimeError(f"stream {event.stream_id} is reset")


class Visitor(threading.Thread):
    """One connection after the other, until it is told to stop."""

    def __init__(self, numbers, *parameters):
        super().__init__(daemon=True)
        self._numbers, self._parameters = numbers, parameters
        self._end = threading.Event()
        self.visits, self.faults = [], []

    def run(self):
        try:
            while not self._end.is_set() and not self.faults:
                self.visits.append(Visit(next(self._numbers), *self._parameters))
                self.faults += self.visits[-1].run(self._end.is_set)
        except (OSError, RuntimeError) as error:
            self.faults.append(repr(error))

    def stop(self):
        self._end.set()
        self.join(SECONDS)
        self.faults += ["it does not end"] if self.is_alive() else []

    def has_come(self, visits):
        """Whether it has a further connection than so many, and responses on it."""
        return bool(self.faults) or len(self.visits) > visits and len(self.visits[-1].answered) >= ENOUGH


class GoClient:
    """Go's net/http, which says when it connects, and in the end how many requests there were (reloads.go)."""

    def __init__(self, address, files, names, work, pause):
        shutil.copy(HERE / "reloads.go", work)
        output(["go", "build", "-o", str(work / "reloads"), "reloads.go"], cwd=work, env={"HOME": str(work), "PATH": "/usr/bin:/bin"})
        self._log = work / "go.log"
        arguments = [part for name in names for part in (name, digest(files[name]))]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen([work / "reloads", "https://{}:{}/".format(*address), pause, *arguments],
                                             stdin=subprocess.PIPE, stdout=log, stderr=log)

    def connections(self):
        return self._log.read_text().count("connected")

    def has_come(self, connections):
        return self._process.poll() is not None or self.connections() > connections

    def stop(self):
        """Returns how many requests there were, or None after an error."""
        try:
            self._process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        text = self._log.read_text()
        return (int(text.split()[-1]), text) if self._process.returncode == 0 else (None, text)


def wait_until(what, condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.02)


class Clients:
    """Visitors and Go, which fetch `names` in this order, again and again; Go with a pause after each request."""

    def __init__(self, address, files, names, work, pause="0s"):
        numbers = itertools.count()
        self._visitors = [Visitor(numbers, address, files, names) for _ in range(VISITORS)]
        self._go = GoClient(address, files, names, work, pause)
        for visitor in self._visitors:
            visitor.start()

    def outlast(self, reload, times):
        """Reloads while they ask, waits until each has a new connection, and ends them. Returns what is wrong."""
        visitors, go, faults = self._visitors, self._go, []
        try:
            wait_until("the first connections", lambda: all(visitor.has_come(0) for visitor in visitors) and go.has_come(0))
            for number in range(times):
                before, of_go = [len(visitor.visits) for visitor in visitors], go.connections()
                reload()
                wait_until(f"new connections after reload {number + 1}", lambda: go.has_come(of_go) and all(
                    visitor.has_come(visits) for visitor, visits in zip(visitors, before)))
        except RuntimeError as error:
            faults.append(str(error))
        for visitor in visitors:
            visitor.stop()
        self._requests, self._text = go.stop()
        return faults

    def check(self, records, times, what, faults):
        """Compares what they have got with the access log, of which `records` are targets, statuses and versions. Returns whether it is
        the same and there were no faults."""
        # Go opens more connections than it uses. By target, how often the server has acted on it.
        acted = Counter(target for target, _, _ in records)
        faults += [f"the access log has {record}" for record in records if record[1:] != ("200", "2")][:3]
        visits = [visit for visitor in self._visitors for visit in visitor.visits]
        of_visits = faults + [fault for visitor in self._visitors for fault in visitor.faults]
        targets = Counter(visit.targets[stream] for visit in visits for stream in visit.answered)
        of_visits += differences({target: count for target, count in acted.items() if "?visit-" in target}, targets)
        above = sum(stream > visit.last() for visit in visits for stream in visit.targets)
        of_visits += [] if above >= STREAMS * times * VISITORS else [f"only {above} streams above the last ones"]
        print(f"{'FAIL' if of_visits else 'PASS'} PyPI's h2 over {what}: {len(visits)} connections, {sum(targets.values())} streams, "
              f"{above} above the last ones{''.join(f'; {fault}' for fault in of_visits[:5])}", flush=True)
        of_go = [self._text[-500:]] if self._requests is None else []
        numbered = Counter(target.partition("?go-")[2] for target in acted.elements() if "?go-" in target)
        of_go += of_go or differences(numbered, Counter(str(number) for number in range(self._requests)))
        print(f"{'FAIL' if of_go else 'PASS'} Go over {what}: {self._go.connections()} connections, {self._requests} requests"
              f"{''.join(f'; {fault}' for fault in of_go[:5])}", flush=True)
        return not of_visits and not of_go


def check_reloads(server, port, files, work):
    """Returns whether no client notices that `server` is reloaded; it is closed in the end, so that its access log is complete."""
    clients = Clients(("127.0.0.1", port), files, NAMES, work)
    faults = clients.outlast(server.reload, RELOADS)
    server.close()
    records = [json.loads(line) for line in server.text().splitlines()]
    faults += [f"the log has {record}" for record in records if record["target"] != "access" and record["level"] != "INFO"]
    records = [(record["http_target"], str(record["http_status"]), record.get("http_version")) for record in records
               if record["target"] == "access" and "http_target" in record]
    return clients.check(records, RELOADS, f"{RELOADS} reloads", faults)


def differences(acted, answered):
    """What the server has acted on, and what clients have got a response for: both once."""
    faults = [f"{target} is in the access log {count} times" for target, count in acted.items() if count != answered.get(target, 0)]
    return faults + [f"{target} is not in the access log" for target in answered if target not in acted]

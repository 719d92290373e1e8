#!/usr/bin/env python3
"""A client that asks for directory listings in turn, as fast as it gets them, until its standard input ends. It prints how many
it got whole, and how many not.

    reader.py PORT PATH...

It runs only when a processor is free (sched(7), SCHED_IDLE): it stands for a client on another machine, which takes none of the
server's time with its own work. What the server does for it has the server's usual priority.
"""

import os
import select
import socket
import sys
from itertools import cycle

TIMEOUT_S = 30


def ask(port, path):
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: reader\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536)
        head, _, content = answer.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        got = len(content)
        while piece := connection.recv(1 << 20):
            got += len(piece)
        return head.startswith(b"HTTP/1.1 200 ") and got == length


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    port, *paths = sys.argv[1:]
    whole = failed = 0
    for path in cycle(paths):
        if select.select([sys.stdin], [], [], 0)[0]:
            break
        if ask(int(port), path):
            whole += 1
        else:
            failed += 1
    print(whole, failed)

"""Clients that are far away: a network namespace of theirs, and packets that take their time (`native/src/bin/link.rs`).

A proxy between them and the server would hide slow start, windows, and what waits in the server's kernel."""

import contextlib
import fcntl
import os
import struct
import subprocess

import network

DELAY_MS, BITS_PER_SECOND, QUEUE_BYTES = 20, 20_000_000, 250_000  # in each direction; the queue has room for 100 ms
SERVER, CLIENT = "192.0.2.1", "192.0.2.2"  # RFC 5737
MTU = 1_500
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


@contextlib.contextmanager
def laid(program):
    """Lays the link. Gives a context in which what is started is at the other end; there, servers are at SERVER."""
    if os.geteuid() != 0:
        raise SystemExit("A link needs network namespaces, and they take root.")
    with contextlib.ExitStack() as cleanup:
        near = opened_namespace(cleanup)
        ours = device("near", SERVER, CLIENT, cleanup)
        network.unshare()
        try:
            network.set_up([network.read("tcp_congestion_control")])
            far = opened_namespace(cleanup)
            theirs = device("far", CLIENT, SERVER, cleanup)
        finally:
            network.return_to(near)
        link = subprocess.Popen([program, str(DELAY_MS), str(BITS_PER_SECOND), str(QUEUE_BYTES)], stdin=ours, stdout=theirs)
        cleanup.callback(link.wait)
        cleanup.callback(link.kill)
        yield lambda: within(far, near)


@contextlib.contextmanager
def within(namespace, before):
    network.return_to(namespace)
    try:
        yield
    finally:
        network.return_to(before)


def opened_namespace(cleanup):
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    cleanup.callback(os.close, namespace)
    return namespace


def device(name, address, peer, cleanup):
    """A TUN device of this namespace, as a descriptor. It lasts as long as that."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    cleanup.callback(os.close, descriptor)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI))
    for command in (["addr", "add", address, "peer", peer, "dev", name], ["link", "set", name, "mtu", str(MTU), "up"]):
        subprocess.run(["ip", *command], check=True, stdin=subprocess.DEVNULL)
    return descriptor

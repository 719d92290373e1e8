"""The network that is measured on: one of the benchmark's own, as Debian's kernel sets one up, whatever this machine is tuned for."""

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
TCP = Path("/proc/sys/net/ipv4")
# The kernel's own values with 1 GiB of memory and more (tcp(7)). A namespace takes these over from the machine, and all others not.
BUFFERS = {"tcp_rmem": "4096\t131072\t6291456", "tcp_wmem": "4096\t16384\t4194304"}


def enter(congestion_control):
    """Moves this process and all that it starts into a network namespace with a loopback alone. That takes root: others
    measure on the machine's own network."""
    if os.geteuid() != 0:
        if congestion_control:
            raise SystemExit("--congestion-control needs a network namespace, and that takes root.")
        return
    unshare()
    set_up([congestion_control] if congestion_control else ["cubic", "reno"])


def unshare():
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.unshare(CLONE_NEWNET) != 0:
        raise SystemExit(f"Cannot make a network namespace: {os.strerror(ctypes.get_errno())}.")


def return_to(namespace):
    """Moves this process into a network namespace that is open."""
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.setns(namespace, CLONE_NEWNET) != 0:
        raise SystemExit(f"Cannot enter a network namespace: {os.strerror(ctypes.get_errno())}.")


def set_up(controls):
    """Makes a new namespace what is described above."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    for name, value in BUFFERS.items():
        (TCP / name).write_text(value)
    # Each client is one that the server has never seen: it begins as slowly as with all others.
    (TCP / "tcp_no_metrics_save").write_text("1")
    control(controls)


def control(names):
    """The first that can be had. Outside the machine's first namespace these are the machine's own and those that every user may
    choose (tcp_allowed_congestion_control). Where that leaves out Debian's cubic, reno is the nearest: neither of them paces."""
    for name in names:
        with suppress(OSError):
            (TCP / "tcp_congestion_control").write_text(name)
            return
    raise SystemExit(f"A network namespace cannot have {' or '.join(names)} here, but {read('tcp_allowed_congestion_control')}.")


def server_address():
    """Where servers listen. Nobody else reaches a namespace of one's own."""
    return "0.0.0.0" if os.geteuid() == 0 else "127.0.0.1"


def described():
    where = "a namespace of its own" if os.geteuid() == 0 else "the machine's own"
    return f"{where}; {read('tcp_congestion_control')}, tcp_rmem {read('tcp_rmem')}, tcp_wmem {read('tcp_wmem')}"


def read(name):
    return " ".join((TCP / name).read_text().split())

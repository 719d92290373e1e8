"""What a process in the service's sandbox can do that it should not: systemd runs this in place of the server, as its user.

It tries; each thing that works is a line that begins with BREACH, and the exit status is then 1.
"""

import ctypes
import os
import socket
import stat
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PTRACE_ATTACH = 16

libc = ctypes.CDLL(None, use_errno=True)
attempts = breaches = 0


def refused(what, action, *arguments):
    """The action must fail: with an exception, or as a call of the C library does."""
    global attempts, breaches
    attempts += 1
    try:
        if action(*arguments) == -1:
            return
    except OSError:
        return
    breaches += 1
    print(f"BREACH {what}")


def write_anywhere():
    """Makes a file in every directory, and opens every file for writing; not so what the kernel gives to every process of
    its own, and devices that take everything and keep nothing."""
    for directory, below, names in os.walk("/"):
        if directory == "/proc":
            below[:] = [name for name in below if not name.isdigit()]
        refused(f"a new file in {directory}", os.open, f"{directory}/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        for name in names:
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
                refused(f"{path} opened for writing", os.open, path, os.O_WRONLY)


def reach_the_network():
    for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"):
        refused(f"a socket of {family}", socket.socket, getattr(socket, family), socket.SOCK_DGRAM)


def gain_rights():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        refused(f"a capability in {name}", lambda: 0 if int(status[name], 16) else -1)
    refused("new privileges", lambda: -1 if int(status["NoNewPrivs"]) == 1 else 0)
    refused("system calls without a filter", lambda: -1 if int(status["Seccomp"]) == 2 else 0)
    refused("to become root", os.setuid, 0)
    refused("namespaces of one's own", libc.unshare, CLONE_NEWUSER | CLONE_NEWNET)
    refused("a mount", libc.mount, b"none", b"/mnt", b"tmpfs", 0, None)
    refused("another root directory", os.chroot, "/var")
    refused("a look into a process", libc.ptrace, PTRACE_ATTACH, 1, None, None)
    refused("a signal to the manager", os.kill, 1, 0)
    refused("a program", os.execv, "/bin/true", ["true"])
    refused("memory to write and execute", libc_mmap)


def libc_mmap():
    import mmap

    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def see_others():
    own = {str(os.getpid()), str(os.getppid())}
    refused("other processes", lambda: 0 if {name for name in os.listdir("/proc") if name.isdigit()} - own else -1)
    for place in ("/home", "/root"):
        refused(f"what is in {place}", lambda: 0 if os.listdir(place) else -1)
    refused("what the kernel says", open, "/dev/kmsg")
    refused("disks", lambda: 0 if any(stat.S_ISBLK(entry.stat().st_mode) for entry in os.scandir("/dev")) else -1)


for part in (write_anywhere, reach_the_network, gain_rights, see_others):
    part()
print(f"{attempts} attempts, {breaches} breaches")
sys.exit(breaches > 0 or attempts < 100)

"""A file system whose reads hang: `stuck_disk.py FOLDER` mounts it there (Linux, as root) until its standard input ends.

Every name that ends with .bin is a file: small ones of 4 KiB, those that begin with "large" of 1 MiB. Looking them up and
opening them works; a read is never answered. Each read prints the number of the thread that now hangs. When this program
ends, the kernel fails all of them with an error, so nothing stays behind.
"""

import ctypes
import errno
import os
import select
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 18, 25, 26, 36, 42
REQUEST, ANSWER = struct.Struct("=IIQQIIIHH"), struct.Struct("=IiQ")  # struct fuse_in_header, fuse_out_header
DIRECT_IO = 1  # every read comes here, none is joined with another by the page cache
MNT_DETACH = 2
FOLDER_ID, SMALL_ID, LARGE_ID = 1, 2, 3
FOREVER = 1 << 31


def main(folder):
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"stuck", folder.encode(), b"fuse", 0, options):
        sys.exit(f"{folder} cannot be mounted: {os.strerror(ctypes.get_errno())}.")
    try:
        print("mounted", flush=True)
        while True:
            ready, _, _ = select.select([device, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            request = os.read(device, 1 << 18)
            _, operation, number, node, _, _, thread, _, _ = REQUEST.unpack_from(request)
            answer = respond(operation, node, request[REQUEST.size :], thread)
            if answer is not None:
                error, content = answer
                os.write(device, ANSWER.pack(ANSWER.size + len(content), -error, number) + content)
    finally:
        libc.umount2(folder.encode(), MNT_DETACH)


def respond(operation, node, content, thread):
    """(error, content), or None for what gets no answer."""
    if operation == INIT:
        _, minor, readahead = struct.unpack_from("=III", content)
        return 0, struct.pack("=IIIIHHIIHHII24x", 7, min(minor, 31), readahead, 0, 0, 0, 1 << 17, 1, 0, 0, 0, 0)
    if operation == LOOKUP:
        name = content.rstrip(b"\0")
        if not name.endswith(b".bin"):
            return errno.ENOENT, b""
        node = LARGE_ID if name.startswith(b"large") else SMALL_ID
        return 0, struct.pack("=QQQQII", node, 0, FOREVER, FOREVER, 0, 0) + attributes(node)
    if operation == GETATTR:
        return 0, struct.pack("=QII", FOREVER, 0, 0) + attributes(node)
    if operation == OPEN:
        return 0, struct.pack("=QIi", 0, DIRECT_IO, 0)
    if operation == READ:
        print(thread, flush=True)
    if operation in (READ, FORGET, BATCH_FORGET, INTERRUPT):
        return None
    return (0 if operation in (RELEASE, FLUSH) else errno.ENOSYS), b""


def attributes(node):
    """struct fuse_attr"""
    size = {FOLDER_ID: 4096, SMALL_ID: 4 << 10, LARGE_ID: 1 << 20}[node]
    mode = 0o40755 if node == FOLDER_ID else 0o100644
    mtime = 1_700_000_000
    return struct.pack("=6Q10I", node, size, size // 512, mtime, mtime, mtime, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


if __name__ == "__main__":
    main(sys.argv[1])

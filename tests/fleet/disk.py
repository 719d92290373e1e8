"""A disk that can hang: a FUSE file system (linux/fuse.h) with the files of a directory, which nobody writes to.

    disk.py DESCRIPTOR DIRECTORY MOUNT-POINT

DESCRIPTOR is /dev/fuse. After a line "hang" on standard input, no call is answered, not even to find a file; after "mend", all are.
It ends once it is unmounted, or at the end of standard input; then all calls fail.
"""

import ctypes
import errno
import os
import select
import struct
import sys
from contextlib import suppress
from pathlib import Path

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 27, 28, 29, 36, 42
REQUEST, ANSWER = struct.Struct("=IIQQIIIHH"), struct.Struct("=IiQ")


class Disk:
    def __init__(self, directory):
        """Nodes are numbered from 1, which is the root."""
        self._paths = [None, directory, *sorted(directory.rglob("*"))]
        self._contents = [path and path.is_file() and path.read_bytes() for path in self._paths]
        self._numbers = {path: number for number, path in enumerate(self._paths)}

    def respond(self, operation, node, content):
        """(error, content), or None for what gets no answer."""
        if operation in (FORGET, BATCH_FORGET, INTERRUPT):
            return None
        if operation == INIT:
            _, minor, readahead = struct.unpack_from("=III", content)
            return 0, struct.pack("=IIIIHHIIHHII24x", 7, min(minor, 31), readahead, 0, 0, 0, 1 << 17, 1, 0, 0, 0, 0)
        if operation == LOOKUP:
            node = self._numbers.get(self._paths[node] / content.rstrip(b"\0").decode())
            return (0, struct.pack("=QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(node)) if node else (errno.ENOENT, b"")
        if operation == GETATTR:
            return 0, struct.pack("=QII", 0, 0, 0) + self._attributes(node)
        if operation in (OPEN, OPENDIR):
            return 0, struct.pack("=QIi", 0, 0, 0)
        if operation == READ:
            _, offset, size = struct.unpack_from("=QQI", content)
            return 0, self._contents[node][offset : offset + size]
        if operation == STATFS:
            return 0, bytes(80)
        if operation == READDIR:
            _, offset, _ = struct.unpack_from("=QQI", content)
            # One entry at a time: struct fuse_dirent, whose length is a multiple of 8.
            children = [path for path in self._paths[2:] if path.parent == self._paths[node]][offset:]
            names = [path.name.encode() for path in children[:1]]
            return 0, b"".join(struct.pack("=QQII", self._numbers[children[0]], offset + 1, len(name), 0) + name + bytes(-len(name) % 8) for name in names)
        return (0 if operation in (RELEASE, RELEASEDIR, FLUSH) else errno.ENOSYS), b""

    def _attributes(self, node):
        """struct fuse_attr; the files are old, so that they can be kept in memory at once."""
        content, old = self._contents[node], 1_700_000_000
        size, mode = (4096, 0o40755) if content is False else (len(content), 0o100644)
        return struct.pack("=6Q10I", node, size, size // 512, old, old, old, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def main(device, directory, mount_point):
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"disk", mount_point.encode(), b"fuse", 0, options):
        sys.exit(f"{mount_point} cannot be mounted: {os.strerror(ctypes.get_errno())}.")
    disk, waiting, is_hung = Disk(Path(directory)), [], False
    while True:
        ready, _, _ = select.select([device, 0], [], [])
        if 0 in ready:
            if not (command := os.read(0, 16)):
                return
            is_hung = command == b"hang\n"
        if device in ready:
            try:
                waiting.append(os.read(device, 1 << 18))
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
        while waiting and not is_hung:
            request = waiting.pop(0)
            _, operation, number, node, _, _, _, _, _ = REQUEST.unpack_from(request)
            if answer := disk.respond(operation, node, request[REQUEST.size :]):
                # Who asked may have been killed.
                with suppress(FileNotFoundError):
                    os.write(device, ANSWER.pack(ANSWER.size + len(answer[1]), -answer[0], number) + answer[1])


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

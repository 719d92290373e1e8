"""Machines with the package: containers with systemd, joined by a bridge in the network namespace of this process."""

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# How long a step may take.
SECONDS = 60

# The names of packaging/examples: the site, the front, and the machines.
HOST = "www.example.org"
FRONT, NAMES = "192.0.2.10", {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3"}

# The addresses of clients.
CLIENTS = [f"198.51.100.{number}" for number in range(1, 6)]

ENVIRONMENT = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]


def output(*command, **options):
    """The output of a command, which must succeed."""
    result = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {(result.stdout + result.stderr).decode(errors='replace')[-800:]}")
    return result.stdout


def wait_until(what, condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.02)
    return value


def make_network():
    output("ip", "link", "set", "lo", "up")
    output("ip", "link", "add", "name", "fleet", "type", "bridge")
    output("ip", "link", "set", "fleet", "up")
    output("ip", "address", "add", f"{FRONT}/24", "dev", "fleet")
    for address in CLIENTS:
        output("ip", "address", "add", f"{address}/32", "dev", "lo")
    limit_buffers()


def limit_buffers(*enter):
    """Otherwise the kernels between a machine and a slow client would hold some MiB of each download."""
    for name, size in [("wmem", 65_536), ("rmem", 131_072)]:
        output(*enter, "sh", "-c", f"echo 4096 16384 {size} > /proc/sys/net/ipv4/tcp_{name}")


class Machine:
    """A container, which is powered off by `power_off`, or when this process ends."""

    def __init__(self, name, rootfs):
        self.name, self.address = name, NAMES[name]
        self._process = subprocess.Popen([HERE / "machine", rootfs], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr)
        self._leader = None

    def boot(self):
        """Waits until it has booted, and joins it to the network."""
        self._leader = self._process.stdout.readline().decode().strip()
        if not self._leader:
            raise RuntimeError(f"machine {self.name} has not booted")
        limit_buffers("nsenter", "--target", self._leader, "--net")
        link = f"veth-{self.name}"
        output("ip", "link", "add", "name", link, "type", "veth", "peer", "name", "eth0", "netns", self._leader)
        output("ip", "link", "set", link, "master", "fleet", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def power_off(self):
        """Begins its end, without the lame duck of the server."""
        if self._leader:
            subprocess.run([*self._within(), "systemctl", "kill", "--signal=KILL", "otus-httpd.service"], capture_output=True, check=False)
        self._process.stdin.close()

    def wait(self):
        """Until it is off."""
        self._process.wait(SECONDS)

    def link(self, state):
        """Connects it to the network ("up"), or cuts it off ("down")."""
        output("ip", "link", "set", f"veth-{self.name}", state)

    def run(self, *command, content=None):
        """The output of a command in it, which must succeed; `content` is the standard input."""
        return output(*self._within(), *command, input=content)

    def start(self, *command, descriptors=()):
        """A command that goes on; its standard input is a pipe, and it sees this process' /proc."""
        enter = ["nsenter", "--target", self._leader, "--mount"]
        return subprocess.Popen([*enter, *ENVIRONMENT, *command], stdin=subprocess.PIPE, pass_fds=descriptors)

    def _within(self):
        return ["nsenter", "--target", self._leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--", *ENVIRONMENT]

    def put(self, path, content):
        """Writes a file beside its place, and renames it."""
        script = 'mkdir -p "${1%/*}" && cat > "$1.new" && chmod 644 "$1.new" && mv "$1.new" "$1"'
        self.run("sh", "-c", script, "put", path, content=content)

    def unpack(self, directory, archive):
        """Adds the files of a tar archive to a directory; each is renamed into its place when it is complete."""
        script = """set -e
            mkdir -p "$1" "$1.new" && cd "$1.new" && tar --extract
            find . -type d -exec mkdir -p "$1/{}" \\; && find . -type f -exec mv -T {} "$1/{}" \\;
            rm -r "$1.new" """
        self.run("bash", "-c", script, "unpack", directory, content=archive)

    def serve(self, directory):
        """Lets the link that is the document root lead to another directory, at once."""
        self.run("sh", "-c", 'ln -s "$1" /srv/site.new && mv -T /srv/site.new /srv/site', "serve", directory)

    def install(self, package):
        """Installs a version, or replaces it by another, as an administrator does."""
        self.put(f"/root/{package.name}", package.read_bytes())
        self.run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "--allow-downgrades", f"/root/{package.name}")

    def set_up(self, package, archive, certificate, key, settings):
        """From nothing to a server behind a proxy, by the steps of otus-httpd(8)."""
        self.unpack("/srv/releases/1", archive)
        self.serve("/srv/releases/1")
        self.install(package)
        self.put("/etc/default/otus-httpd", "".join(f"{name}={value}\n" for name, value in settings.items()).encode())
        self.put("/root/certificate.pem", certificate)
        self.put("/root/key.pem", key)
        self.run("otus-httpd", "https", "import", "/root/certificate.pem", "/root/key.pem")
        self.put("/etc/systemd/system/otus-httpd-https.socket.d/override.conf", b"[Socket]\nFileDescriptorName=https-proxy\n")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "restart", "otus-httpd.socket")

    def records(self, since):
        """The access log since a time in seconds since 1970."""
        self.run("journalctl", "--sync")
        fields = "HTTP_TARGET,HTTP_STATUS,CLIENT_ADDRESS,CLIENT_PORT,HTTP_VERSION,CAUSE"
        text = self.run("journalctl", "--unit=otus-httpd", "--output=json", f"--output-fields={fields}", f"--since=@{since:.6f}", "TARGET=access")
        return [json.loads(line) for line in text.splitlines()]

"""curl, OpenSSL and GnuTLS: a file over each version of TLS, and once more over a resumed session."""

import subprocess

from authority import NAME
from server import TEXT

TIMEOUT = 60
FILE = "text.txt"
VERSIONS = ("1.2", "1.3")


def request(user_agent):
    return (f"GET /{FILE} HTTP/1.1\r\nHost: {NAME}\r\nUser-Agent: {user_agent}\r\nConnection: close\r\n\r\n").encode()


def curl(directory, root, port, version, user_agent):
    url = f"https://{NAME}:{port}/{FILE}"
    return run(["curl", "--silent", "--show-error", "--fail", f"--tlsv{version}", "--tls-max", version, "--http1.1", "--cacert", root,
                "--user-agent", user_agent, "--header", "Connection: close", "--resolve", f"{NAME}:{port}:127.0.0.1",
                "--write-out", "%{http_code} %{ssl_verify_result} %{num_connects};", url, url], b"")


def openssl(directory, root, port, version, user_agent):
    session = str(directory / f"session-{version}")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", NAME, "-CAfile", str(root), "-ign_eof",
               "-verify_return_error", "-verify_hostname", NAME, f"-tls{version.replace('.', '_')}"]
    first = run([*command, "-sess_out", session], request(user_agent))
    return first + run([*command, "-sess_in", session], request(user_agent))


def gnutls(directory, root, port, version, user_agent):
    # With --resume, the first connection has no request.
    command = ["gnutls-cli", f"--x509cafile={root}", f"--sni-hostname={NAME}", f"--verify-hostname={NAME}", f"--port={port}",
               f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}", "127.0.0.1"]
    return run(command, request(user_agent)) + run([*command, "--resume"], request(user_agent))


# The client, how often the file is in its output, and what else is, for a version.
CLIENTS = {
    curl: {"200 0 1;": 2},
    openssl: {"HTTP/1.1 200 OK": 2, "New, TLSv{version}": 1, "Reused, TLSv{version}": 1, "Verification: OK": 2},
    gnutls: {"HTTP/1.1 200 OK": 2, "The certificate is trusted": 2, "This is a resumed session": 1},
}


# curl turns tickets off in TLS 1.2 (SSL_OP_NO_TICKET), and the server has no cache of sessions.
WITHOUT_TICKETS = {(curl, "1.2")}


def run(command, data):
    """Returns the output; what a client says is a part of it."""
    result = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
    output = result.stdout.decode(errors="replace")
    if result.returncode != 0:
        output += f"\nstatus {result.returncode}\n"
    return output


def exchange(client, server, directory, root):
    """Returns what is wrong, and a summary."""
    faults = []
    for version in VERSIONS:
        user_agent = f"{client.__name__}-{version}"
        output = client(directory, root, server.port, version, user_agent)
        (directory / f"{user_agent}.txt").write_text(output)
        for text, count in {TEXT: 2, **CLIENTS[client]}.items():
            text = text.format(version=version) if text != TEXT else text
            if output.count(text) != count:
                name = f"'{text}'" if text != TEXT else "the content of the file"
                faults.append(f"TLS {version}: {name} is there {output.count(text)} times instead of {count}: {output[-2000:]}")
        if not faults:
            records = server.records(user_agent, 2)
            seen = [(record["tls_version"], record["tls_resumed"], record["tls_name"]) for record in records]
            resumed = ("no", "no") if (client, version) in WITHOUT_TICKETS else ("no", "yes")
            expected = [(f"TLSv{version}", is_resumed, NAME) for is_resumed in resumed]
            if seen != expected:
                faults.append(f"TLS {version}: the access log has {seen} instead of {expected}")
    resumed = [version for version in VERSIONS if (client, version) not in WITHOUT_TICKETS]
    return faults, (f"TLS {' and '.join(VERSIONS)}: 200, {2 * len(VERSIONS)} x {len(TEXT)} bytes; a session is resumed over "
                    f"{' and '.join(resumed)}")

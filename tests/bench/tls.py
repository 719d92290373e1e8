"""The servers of the rows about HTTPS: their certificate and their configurations.

All servers use an ECDSA key on P-256, and TLS_AES_128_GCM_SHA256 or its counterpart of TLS 1.2. Clients that may choose (all but those
of row `tls-ml-kem`) offer X25519 alone or first.
"""

import os
import re
import subprocess

import network
import servers

CIPHERS_12 = "ECDHE-ECDSA-AES128-GCM-SHA256"
CIPHERS_13 = "TLS_AES_128_GCM_SHA256"
# What `openssl s_client` must print of a handshake with each server.
NEGOTIATED = f"TLSv1.3, {CIPHERS_13}, X25519"


def make_certificate(folder):
    """A key and a certificate for localhost, where `--certificates` finds the default one."""
    default = folder / "default"
    default.mkdir(parents=True, mode=0o755)
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(default / "privkey.pem"), "-out", str(default / "fullchain.pem"),
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(default / "privkey.pem", 0o600)


def everyone(otus_binary, compared_binary, otus_args, certificates):
    return [
        otus(otus_binary, otus_args, certificates),
        otus(otus_binary, f"{otus_args} --compress-cache 0", certificates, "otus-uncompressed", "otus-httpd, --compress-cache 0"),
        otus(compared_binary, otus_args, certificates, "compared", "compared otus-httpd"),
        nginx("nginx-tuned", "nginx tuned", servers.OPEN_FILES + "sendfile off;", certificates),
        lighttpd(certificates),
        caddy(certificates),
        h2o(certificates),
    ]


def otus(binary, extra, certificates, name="otus", label="otus-httpd"):
    def configure(folder, root, port):
        https = ["--https-port", str(port), "--certificates", str(certificates)]
        # The plain port is not used.
        plain = servers.otus(binary, extra).configure(folder, root, servers.free_port())
        return [*plain, *https]

    return servers.Server(name, label, [binary, "--version"], configure, tls=True)


def nginx(name, label, http, certificates):
    tls = f"""
        ssl_certificate {certificates}/default/fullchain.pem;
        ssl_certificate_key {certificates}/default/privkey.pem;
        ssl_session_cache shared:tls:10m;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_prefer_server_ciphers on;
        ssl_ciphers {CIPHERS_12};
        ssl_conf_command Ciphersuites {CIPHERS_13};
    """
    return servers.nginx(name, label, "ssl http2 reuseport deferred", http + tls, tls=True)


def lighttpd(certificates):
    extra = f"""
        server.modules += ( "mod_openssl" )
        ssl.engine = "enable"
        ssl.pemfile = "{certificates}/default/fullchain.pem"
        ssl.privkey = "{certificates}/default/privkey.pem"
        ssl.openssl.ssl-conf-cmd = ( "MinProtocol" => "TLSv1.2", "CipherString" => "{CIPHERS_12}", "Ciphersuites" => "{CIPHERS_13}" )
    """
    return servers.lighttpd(extra, tls=True)


def caddy(certificates):
    """Caddy has one process; it runs on as many processors as the others have workers."""

    def configure(folder, root, port):
        (folder / "Caddyfile").write_text(f"""
            {{
                admin off
                auto_https off
                storage file_system {folder}
                servers {{
                    protocols h1 h2
                }}
                log {{
                    output discard
                }}
            }}
            https://:{port} {{
                bind {network.server_address()}
                tls {certificates}/default/fullchain.pem {certificates}/default/privkey.pem {{
                    curves x25519
                    ciphers TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                }}
                root * {root}
                file_server
            }}
        """)
        home = ["env", f"HOME={folder}", f"GOMAXPROCS={servers.WORKERS}"]
        return [*home, "caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]

    return servers.Server("caddy", "Caddy", ["caddy", "version"], configure, tls=True)


def h2o(certificates):
    """h2o chooses another cipher where the client offers more than one; so clients of HTTP/2 offer one. It has one process, with as many threads as the others have workers."""

    def configure(folder, root, port):
        (folder / "h2o.conf").write_text(f"""
num-threads: {servers.WORKERS}
{"user: root" if os.geteuid() == 0 else ""}
pid-file: {folder}/pid
error-log: /dev/stderr
max-connections: 16384
hosts:
  default:
    listen:
      host: {network.server_address()}
      port: {port}
      ssl:
        certificate-file: {certificates}/default/fullchain.pem
        key-file: {certificates}/default/privkey.pem
        minimum-version: TLSv1.2
        cipher-suite: {CIPHERS_12}
        cipher-preference: server
    paths:
      "/":
        file.dir: {root}
""")
        return ["h2o", "-m", "worker", "-c", str(folder / "h2o.conf")]

    return servers.Server("h2o", "h2o", ["h2o", "--version"], configure, tls=True)


def check_negotiated(server):
    """Demands the same version, cipher and group of all servers."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-groups", "X25519:P-256"]
    if server.server.name == "h2o":
        command += ["-ciphersuites", CIPHERS_13]
    client = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
    cipher = re.search(r"New, (\S+), Cipher is (\S+)", client.stdout)
    group = re.search(r"Server Temp Key: (\w+)", client.stdout)
    found = f"{cipher[1]}, {cipher[2]}, {group[1]}" if cipher and group else client.stdout[-300:]
    if found != NEGOTIATED:
        raise SystemExit(f"{server.server.label} negotiates {found}, not {NEGOTIATED}.")

"""sslscan and sslyze."""

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from authority import NAME, TWO_KEYS

TIMEOUT = 120

# Names at OpenSSL, in the order of the server (src/tls/provider.rs).
CIPHERS_13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
CIPHERS_12 = {
    "ECDSA": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    "RSA": ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
}
# The types of keys of a name: the order of sslscan decides, which has ECDSA first.
KEYS = {NAME: ["ECDSA"], TWO_KEYS: ["ECDSA", "RSA"]}
# Those that OpenSSL 3.0 has.
GROUPS = {"x25519", "secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)"}
SIGNATURES = {
    NAME: {"ecdsa_secp256r1_sha256"},
    # With PKCS#1 alone, TLS 1.3 fails after the ServerHello; sslscan reads no further.
    TWO_KEYS: {"ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512",
               "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512"},
}


def ordered(ciphers):
    """Without instructions for AES, ChaCha20 is first."""
    if re.search(r"^(flags|Features)\s*:.* aes\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
        return ciphers
    return sorted(ciphers, key=lambda cipher: "CHACHA20" not in cipher)


def sslscan(directory, port):
    """Returns what is wrong, and a summary. With certificates of two types of keys, the server has all its ciphers."""
    faults = []
    for name in (NAME, TWO_KEYS):
        file = directory / f"sslscan-{name}.xml"
        subprocess.run(["sslscan", "--no-colour", "--show-sigs", f"--xml={file}", f"--sni-name={name}", f"127.0.0.1:{port}"],
                       check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT)
        faults += [f"{name}: {fault}" for fault in examine(ElementTree.parse(file).getroot(), name)]
    return faults, (f"TLS 1.2 and 1.3 only; {len(CIPHERS_13)} and {sum(map(len, CIPHERS_12.values()))} ciphers in the order of the server; "
                    f"{len(GROUPS)} groups; no renegotiation, compression, Heartbleed")


def examine(result, name):
    def check(what, found, expected):
        if found != expected:
            yield f"{what}: {found} instead of {expected}"

    def values(tag, attribute, **conditions):
        elements = result.iter(tag)
        return [element.get(attribute) for element in elements if conditions.items() <= element.attrib.items()]

    yield from check("protocols", values("protocol", "version", enabled="1"), ["1.2", "1.3"])
    old = [cipher for key in KEYS[name] for cipher in ordered(CIPHERS_12[key])]
    yield from check("ciphers of TLS 1.3", values("cipher", "cipher", sslversion="TLSv1.3"), ordered(CIPHERS_13))
    yield from check("ciphers of TLS 1.2", values("cipher", "cipher", sslversion="TLSv1.2"), old)
    yield from check("all ciphers", len(values("cipher", "cipher")), len(CIPHERS_13) + len(old))
    yield from check("groups", set(values("group", "name")), GROUPS)
    yield from check("signatures", set(values("connection-signature-algorithm", "name")), SIGNATURES[name])
    yield from check("renegotiation", values("renegotiation", "supported"), ["0"])
    # Where sslscan was built without zlib, it does not test compression; testssl.sh and sslyze do.
    yield from check("compression", set(values("compression", "supported")) - {"0"}, set())
    yield from check("Heartbleed", values("heartbleed", "vulnerable"), ["0", "0"])


def sslyze(program, directory, root, port):
    """Returns what is wrong, and a summary: the configuration "intermediate" of Mozilla, and the summary's lines."""
    command = [program, "--mozilla_config=intermediate", f"--certinfo_ca_file={root}", f"--sni={NAME}", f"127.0.0.1:{port}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    (directory / "sslyze.txt").write_text(result.stdout + result.stderr)
    _, _, verdict = result.stdout.partition("COMPLIANCE AGAINST")
    faults = [] if result.returncode == 0 and "OK - Compliant." in verdict else [verdict or result.stderr]
    expected = [
        "Supplied CA file CA Store (N/A):   OK", "Received Chain Order:              OK", "Compression disabled",
        "Not vulnerable to OpenSSL CCS injection", "Not vulnerable to Heartbleed", "RSA cipher suites not supported",
        "Client Renegotiation DoS Attack:   OK", "Secure Renegotiation:              OK", "TLS_FALLBACK_SCSV:                 OK",
    ]
    faults += [f"there is no line '{line}'" for line in expected if line not in result.stdout]
    accepted = [int(count) for count in re.findall(r"accepted the following (\d+) cipher suites", result.stdout)]
    if accepted != [3, 3]:
        faults.append(f"accepted cipher suites: {accepted}")
    return faults, f"Mozilla's configuration \"intermediate\" is met; {len(expected)} further lines are as expected"

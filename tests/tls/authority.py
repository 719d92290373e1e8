"""A certification authority, and certificates as a public one issues them: 90 days at most, with the URL of a list of revoked
ones, signed by an intermediate certificate."""

import subprocess
from pathlib import Path

DAYS = 89
NAME = "example.test"
# It has certificates of two types of keys.
TWO_KEYS = "two-keys.test"

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("rsa:2048",)

EXTENSIONS = """
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
crlDistributionPoints = URI:http://crl.example.test/authority.crl
subjectAltName = DNS:{name}
"""


class Authority:
    """Files in `directory`: `root` is the certificate that clients trust, `certificates` the directory of the server."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.root = self.directory / "root.pem"
        self.certificates = self.directory / "certificates"
        self._request("root", "/O=otus-httpd tests/CN=Root", EC)
        self._sign("root", "authority", ["-signkey", "root.key"])
        self._request("intermediate", "/O=otus-httpd tests/CN=Intermediate", EC)
        self._sign("intermediate", "authority", ["-CA", "root.pem", "-CAkey", "root.key"])
        self._issue("default", NAME, EC)
        self._issue("two-keys-ec", TWO_KEYS, EC)
        self._issue("two-keys-rsa", TWO_KEYS, RSA)

    def _issue(self, folder, name, key):
        self._request(folder, f"/CN={name}", key)
        self._sign(folder, "server", ["-CA", "intermediate.pem", "-CAkey", "intermediate.key"], name)
        target = self.certificates / folder
        target.mkdir(parents=True)
        (self.directory / f"{folder}.key").rename(target / "privkey.pem")
        chain = [(self.directory / f"{part}.pem").read_text() for part in (folder, "intermediate")]
        (target / "fullchain.pem").write_text("".join(chain))

    def _request(self, file, subject, key):
        self._openssl("req", "-new", "-config", "/dev/null", "-nodes", "-subj", subject, "-newkey", *key,
                      "-keyout", f"{file}.key", "-out", f"{file}.csr")

    def _sign(self, file, section, signer, name=NAME):
        (self.directory / "extensions").write_text(EXTENSIONS.format(name=name))
        serial = self._openssl("rand", "-hex", "16").strip()
        self._openssl("x509", "-req", "-sha256", "-days", str(DAYS), "-set_serial", f"0x{serial}", "-in", f"{file}.csr",
                      "-out", f"{file}.pem", "-extfile", "extensions", "-extensions", section, *signer)

    def _openssl(self, *arguments):
        result = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"openssl {' '.join(arguments)}: {result.stderr}")
        return result.stdout

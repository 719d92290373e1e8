"""TLS clients that mean harm: handshakes that are incomplete, many or in pieces, and records that no library sends, which
they encrypt themselves."""

import contextlib
import ctypes
import ctypes.util
import hashlib
import hmac
import socket
import ssl
import struct
import subprocess
import tempfile

import crowd

NAME = "localhost"
HANDSHAKE, CONTENT = 22, 23
CIPHERS = {
    "TLS_AES_128_GCM_SHA256": ("EVP_aes_128_gcm", 16),
    "TLS_CHACHA20_POLY1305_SHA256": ("EVP_chacha20_poly1305", 32),
    "ECDHE-ECDSA-AES128-GCM-SHA256": ("EVP_aes_128_gcm", 16),
}
# How long a server may take to end a connection.
ENDED_SECONDS = 5
# update_requested (RFC 8446 section 4.6.3): the server has to respond with its own.
KEY_UPDATE = bytes([24, 0, 0, 1, 1])
# SSL 2.0 (draft-hickman-netscape-ssl-00): a record of 46 bytes with a CLIENT-HELLO of version 3.1.
SSL2_HELLO = b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + bytes(37)


def make_certificate(directory):
    (directory / "first").mkdir(parents=True)
    command = ["openssl", "req", "-x509", "-config", "/dev/null", "-subj", "/CN=test", "-days", "30", "-nodes"]
    command += ["-addext", f"subjectAltName=DNS:{NAME}", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ["-keyout", "privkey.pem", "-out", "fullchain.pem"]
    subprocess.run([*command, *files], check=True, capture_output=True, cwd=directory / "first")


def client_context(version=ssl.TLSVersion.TLSv1_3):
    context = ssl._create_unverified_context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    return context


class Handshake:
    """A handshake in memory: what the client has to send, and what it has received."""

    def __init__(self, context):
        self.incoming, self.outgoing, self.received = ssl.MemoryBIO(), ssl.MemoryBIO(), b""
        self.client = context.wrap_bio(self.incoming, self.outgoing, server_hostname=NAME)

    def go_on(self):
        """What is to be sent; and whether the handshake is complete."""
        is_complete = False
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()
            is_complete = True
        return self.outgoing.read(), is_complete

    def receive(self, records):
        self.received += records
        self.incoming.write(records)


def hello():
    return Handshake(client_context()).go_on()[0]


def fragments(records):
    """The same in records of one byte of content each."""
    (length,) = struct.unpack(">H", records[3:5])
    return [b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in records[5 : 5 + length]]


class Client:
    """A connection after its handshake. It sends records of any kind."""

    def __init__(self, port, version):
        context = client_context(version)
        [self.connection] = crowd.connect(port, 1)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with tempfile.NamedTemporaryFile("r") as log:
            context.keylog_filename = log.name
            handshake = Handshake(context)
            while True:
                output, is_complete = handshake.go_on()
                self.connection.sendall(output)
                if is_complete:
                    break
                handshake.receive(self.connection.recv(65536))
            lines = [line.split() for line in log.read().splitlines()]
        secrets = {label: bytes.fromhex(secret) for label, _, secret in (line for line in lines if len(line) == 3)}
        self.cipher, self.key_length = CIPHERS[handshake.client.cipher()[0]]
        self.is_13 = version == ssl.TLSVersion.TLSv1_3
        if self.is_13:
            self.use(secrets["CLIENT_TRAFFIC_SECRET_0"])
        else:
            # The client's random number is in the log, the server's in its first record.
            seed = b"key expansion" + handshake.received[11:43] + bytes.fromhex(lines[-1][1])
            block = expand_12(secrets["CLIENT_RANDOM"], seed, 40)
            # Finished was the record 0.
            self.key, self.salt, self.number = block[:16], block[32:36], 1

    def use(self, secret):
        self.secret, self.number = secret, 0
        self.key, self.salt = expand_13(secret, b"key", self.key_length), expand_13(secret, b"iv", 12)

    def record(self, kind, content):
        """A record, encrypted (RFC 8446 section 5.2, RFC 5288 section 3)."""
        number = struct.pack(">Q", self.number)
        self.number += 1
        if not self.is_13:
            header = bytes([kind, 3, 3])
            extra = number + header + struct.pack(">H", len(content))
            sealed = number + seal(self.cipher, self.key, self.salt + number, extra, content)
            return header + struct.pack(">H", len(sealed)) + sealed
        nonce = bytes(a ^ b for a, b in zip(self.salt, bytes(4) + number))
        header = struct.pack(">BHH", CONTENT, 0x0303, len(content) + 1 + 16)
        return header + seal(self.cipher, self.key, nonce, header, content + bytes([kind]))

    def key_update(self):
        record = self.record(HANDSHAKE, KEY_UPDATE)
        self.use(expand_13(self.secret, b"traffic upd", 32))
        return record

    def is_ended_by(self, records):
        """Whether the server ends the connection after these."""
        self.connection.settimeout(ENDED_SECONDS)
        try:
            self.connection.sendall(records)
            while self.connection.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            # A reset, as it does not read the rest.
            pass
        finally:
            self.connection.close()
        return True


def key_updates(port):
    client = Client(port, ssl.TLSVersion.TLSv1_3)
    return client.is_ended_by(b"".join(client.key_update() for _ in range(100)))


def empty_records(port):
    client = Client(port, ssl.TLSVersion.TLSv1_3)
    return client.is_ended_by(b"".join(client.record(CONTENT, b"") for _ in range(100)))


def alternating(port):
    """Both in turn: each resets a counter of the other in rustls. The server counts bytes, but not what arrives with the handshake."""
    client = Client(port, ssl.TLSVersion.TLSv1_3)
    return client.is_ended_by(b"".join(client.key_update() + client.record(CONTENT, b"") for _ in range(400)))


def renegotiations(port):
    client = Client(port, ssl.TLSVersion.TLSv1_2)
    message = Handshake(client_context(ssl.TLSVersion.TLSv1_2)).go_on()[0][5:]
    return client.is_ended_by(b"".join(client.record(HANDSHAKE, message) for _ in range(100)))


def expand_13(secret, label, length):
    """HKDF-Expand-Label of SHA-256 (RFC 8446 section 7.1), for up to 32 bytes."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\0\x01"
    return hmac.digest(secret, info, hashlib.sha256)[:length]


def expand_12(secret, seed, length):
    """The PRF of TLS 1.2 (RFC 5246 section 5)."""
    output, block = b"", seed
    while len(output) < length:
        block = hmac.digest(secret, block, hashlib.sha256)
        output += hmac.digest(secret, block + seed, hashlib.sha256)
    return output[:length]


libcrypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
libcrypto.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
GET_TAG = 0x10


def seal(cipher, key, nonce, extra, content):
    """The content, encrypted, and its tag (EVP_EncryptInit(3))."""
    find = libcrypto[cipher]
    find.restype = ctypes.c_void_p
    context = ctypes.c_void_p(libcrypto.EVP_CIPHER_CTX_new())
    output, tag, length = ctypes.create_string_buffer(len(content) + 32), ctypes.create_string_buffer(16), ctypes.c_int()
    libcrypto.EVP_EncryptInit_ex(context, ctypes.c_void_p(find()), None, key, nonce)
    libcrypto.EVP_EncryptUpdate(context, None, ctypes.byref(length), extra, len(extra))
    libcrypto.EVP_EncryptUpdate(context, output, ctypes.byref(length), content, len(content))
    libcrypto.EVP_EncryptFinal_ex(context, tag, ctypes.byref(length))
    libcrypto.EVP_CIPHER_CTX_ctrl(context, GET_TAG, 16, tag)
    libcrypto.EVP_CIPHER_CTX_free(context)
    return output.raw[: len(content)] + tag.raw

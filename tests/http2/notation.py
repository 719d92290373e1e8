"""The notation of cases/*.txt, which README.md describes."""

import itertools
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TYPES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"]
TYPES = {name: number for number, name in enumerate(TYPES)} | {"PRIORITY_UPDATE": 0x10}
FLAGS = {"END_STREAM": 0x1, "ACK": 0x1, "END_HEADERS": 0x4, "PADDED": 0x8, "PRIORITY": 0x20}
SETTINGS = {"HEADER_TABLE_SIZE": 1, "ENABLE_PUSH": 2, "MAX_CONCURRENT_STREAMS": 3, "INITIAL_WINDOW_SIZE": 4, "MAX_FRAME_SIZE": 5,
            "MAX_HEADER_LIST_SIZE": 6, "NO_RFC7540_PRIORITIES": 9}
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"]
ESCAPES = {"0": "\0", "t": "\t", "r": "\r", "n": "\n"}
# A word: text without blanks, and quoted parts with any.
WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^ "'])+""")


@dataclass
class Frame:
    """A frame, and its field lines, if it is a field section of literals."""
    data: bytes
    fields: list = None


@dataclass
class Wait:
    """For the end of a stream."""
    stream: int


@dataclass
class Case:
    name: str
    steps: list = field(default_factory=list)
    wants: list = field(default_factory=list)
    # "tls", "clear", or both.
    only: str = None
    # What the client sends by itself: the preface, empty SETTINGS, and an acknowledgement.
    has_preface: bool = True
    has_settings: bool = True


def raw_frame(kind, flags, stream, payload, length=None):
    return struct.pack(">I", len(payload) if length is None else length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def cases(directory, is_tls):
    """All cases that are for such a connection."""
    for path in sorted(Path(directory).glob("*.txt")):
        for block in path.read_text().split("\n\n"):
            block = block.strip("\n")
            if block and not block.startswith("#"):
                case = read_case(path.stem, block.split("\n"), is_tls)
                if case.only in (None, "tls" if is_tls else "clear"):
                    yield case


def read_case(file, lines, is_tls):
    case = Case(f"{file}: {lines[0]}")
    lines = lines[1:]
    while lines:
        line, *lines = lines
        word, _, rest = line.partition(" ")
        if word in ("want", "or"):
            case.wants.append([want for part in rest.split(", ") for want in each_stream(part)])
        elif word in ("tls", "clear"):
            case.only = word
        elif word in ("silent", "preface"):
            case.has_settings, case.has_preface = False, word == "preface"
        elif re.fullmatch(r"\d+x", word):
            block = [rest] if rest else list(itertools.takewhile(lambda line: line.startswith("  "), lines))
            lines = lines if rest else lines[len(block) :]
            for turn in range(int(word[:-1])):
                case.steps += [step for line in block for step in read_step(line, turn, is_tls)]
        elif word != "note":
            case.steps += read_step(line, 0, is_tls)
    return case


def each_stream(want):
    """A want for each stream, where there is a range of them."""
    if not (found := re.fullmatch(r"(\w+) (\d+)\.\.(\d+)(.*)", want)):
        return [want]
    kind, first, last, rest = found.groups()
    return [f"{kind} {stream}{rest}" for stream in range(int(first), int(last) + 1, 2)]


def read_step(line, turn, is_tls):
    words = WORD.findall(line)
    match words:
        case ["wait", streams]:
            first, _, last = streams.partition("..")
            if last:
                return [Wait(stream) for stream in range(int(first), int(last) + 1, 2)]
            return [Wait(stream_of(streams, turn))]
        case ["RAW", *payload]:
            return [Frame(payload_of(payload, turn, is_tls)[0])]
        case ["GET", stream]:
            return [read_frame(["HEADERS", stream, "END_STREAM", "END_HEADERS", "get"], turn, is_tls)]
        case ["GET", stream, "large"]:
            words = ["HEADERS", stream, "END_STREAM", "END_HEADERS", "method", "scheme", "authority", '":path: /large"']
            return [read_frame(words, turn, is_tls)]
        case ["POST", stream]:
            return [read_frame(["HEADERS", stream, "END_HEADERS", "post"], turn, is_tls)]
    return [read_frame(words, turn, is_tls)]


def stream_of(word, turn):
    return int(word[:-2], 0) + 2 * turn if word.endswith("..") else int(word, 0)


def read_frame(words, turn, is_tls):
    kind, stream, *rest = words
    kind = TYPES[kind] if kind in TYPES else int(kind, 0)
    flags, length = 0, None
    while rest:
        if rest[0] in FLAGS:
            flags |= FLAGS[rest[0]]
        elif rest[0].startswith("LENGTH="):
            length = int(rest[0][7:])
        elif rest[0].startswith("0x") and "=" not in rest[0]:
            flags |= int(rest[0], 0)
        else:
            break
        rest = rest[1:]
    payload, fields = payload_of(rest, turn, is_tls)
    return Frame(raw_frame(kind, flags, stream_of(stream, turn), payload, length), fields)


def payload_of(words, turn, is_tls):
    """The bytes, and the field lines if there is nothing else."""
    payload, fields = b"", []
    for word in words:
        part, lines = word_bytes(word, turn, is_tls)
        payload += part
        fields = None if fields is None or lines is None else fields + lines
    return payload, fields


def word_bytes(word, turn, is_tls):
    names = {"get": ["method", "scheme", "authority", "path"], "post": ['":method: POST"', "scheme", "authority", "path"]}
    lines = {"method": ":method: GET", "scheme": f":scheme: {'https' if is_tls else 'http'}", "authority": ":authority: a.test",
             "path": ":path: /"}
    if found := re.fullmatch(r"(\d+)\*(.*)", word):
        part, fields = word_bytes(found[2], turn, is_tls)
        return part * int(found[1]), None if fields is None else fields * int(found[1])
    if found := re.fullmatch(r'"(.*)"(?:\*(\d+))?', word):
        return field_line(unescaped(found[1]), int(found[2] or 1))
    if word.startswith("'"):
        return unescaped(word[1:-1]), None
    if word.startswith("u32:"):
        return struct.pack(">I", int(word[4:])), None
    if word.startswith("id:"):
        return struct.pack(">I", stream_of(word[3:], turn)), None
    if "=" in word:
        name, value = word.split("=")
        return struct.pack(">HI", SETTINGS[name] if name in SETTINGS else int(name, 0), int(value)), None
    if word in names:
        return payload_of(names[word], turn, is_tls)
    if word in lines:
        return field_line(lines[word].encode(), 1)
    return bytes.fromhex(word), None


def field_line(line, count):
    """A literal without indexing, without Huffman code, and with all of its name."""
    colon = line.index(b": ", 1)
    name, value = line[:colon], line[colon + 2 :]
    value += value[-1:] * (count - 1)
    return b"\0" + string(name) + string(value), [(name, value)]


def string(text):
    length = len(text)
    if length < 0x7F:
        return bytes([length]) + text
    rest, prefix = length - 0x7F, b"\x7f"
    while rest >= 0x80:
        prefix += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return prefix + bytes([rest]) + text


def unescaped(text):
    def byte(found):
        escape = found[1]
        return chr(int(escape[1:], 16)) if escape.startswith("x") else ESCAPES.get(escape, escape)
    return re.sub(r"\\(x..|.)", byte, text).encode("latin-1")

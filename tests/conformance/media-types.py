#!/usr/bin/env python3
"""The media type of every extension, held against the registries.

    media-types.py HOST PORT --root DIR --registries DIR

It asks the server for an empty file with every extension that mime_guess, this server's own table or nginx know, or that a
page loads. The registries are Debian's /etc/mime.types (package media-types), nginx's mime.types (nginx-common) and mime-db
(node-mime), which says of each type whether IANA, Apache or nginx has it. What IANA has registered counts before what others use: a type
that differs from it, or from everybody where IANA has none, needs a reason in ARGUED.
"""

import argparse
import collections
import http.client
import json
import os
import re
import subprocess
import sys

# What a web page loads, or a site is there to hand out: exactly this, with the source.
WEB = {
    "html": "text/html",  # IANA
    "htm": "text/html",  # IANA
    "xhtml": "application/xhtml+xml",  # IANA
    "css": "text/css",  # IANA
    "js": "text/javascript",  # RFC 9239
    "mjs": "text/javascript",  # RFC 9239
    "cjs": "text/javascript",  # RFC 9239
    "wasm": "application/wasm",  # IANA
    "map": "application/json",  # ECMA-426
    "json": "application/json",  # RFC 8259
    "webmanifest": "application/manifest+json",  # IANA
    "jsonld": "application/ld+json",  # IANA
    "geojson": "application/geo+json",  # RFC 7946
    "xml": "text/xml",  # RFC 7303, nginx
    "rss": "application/rss+xml",  # nginx
    "atom": "application/atom+xml",  # RFC 4287
    "txt": "text/plain",  # RFC 2046
    "csv": "text/csv",  # RFC 4180
    "md": "text/markdown",  # RFC 7763
    "ics": "text/calendar",  # RFC 5545
    "vcf": "text/vcard",  # RFC 6350
    "yaml": "application/yaml",  # RFC 9512
    "yml": "application/yaml",  # RFC 9512
    "toml": "application/toml",  # IANA
    "svg": "image/svg+xml",  # IANA
    "svgz": "image/svg+xml",  # IANA
    "png": "image/png",  # IANA
    "apng": "image/apng",  # IANA
    "jpg": "image/jpeg",  # RFC 2046
    "jpeg": "image/jpeg",  # RFC 2046
    "gif": "image/gif",  # RFC 2046
    "webp": "image/webp",  # RFC 9649
    "avif": "image/avif",  # IANA
    "avifs": "image/avif",  # IANA
    "jxl": "image/jxl",  # IANA
    "heic": "image/heic",  # IANA
    "heif": "image/heif",  # IANA
    "bmp": "image/bmp",  # RFC 7903
    "ico": "image/x-icon",  # WHATWG MIME Sniffing §6.1, nginx
    "cur": "image/x-icon",  # WHATWG MIME Sniffing §6.1
    "woff": "font/woff",  # RFC 8081
    "woff2": "font/woff2",  # RFC 8081
    "ttf": "font/ttf",  # RFC 8081
    "otf": "font/otf",  # RFC 8081
    "ttc": "font/collection",  # RFC 8081
    "eot": "application/vnd.ms-fontobject",  # IANA
    "mp3": "audio/mpeg",  # RFC 3003
    "m4a": "audio/mp4",  # RFC 4337
    "aac": "audio/aac",  # IANA
    "ogg": "audio/ogg",  # RFC 5334
    "oga": "audio/ogg",  # RFC 5334
    "opus": "audio/ogg",  # RFC 7845
    "flac": "audio/flac",  # RFC 9639
    "wav": "audio/wav",  # what every browser takes; registered is none
    "weba": "audio/webm",  # the WebM project
    "mp4": "video/mp4",  # RFC 4337
    "m4v": "video/mp4",  # RFC 4337
    "m4s": "video/iso.segment",  # IANA
    "webm": "video/webm",  # the WebM project
    "ogv": "video/ogg",  # RFC 5334
    "mov": "video/quicktime",  # IANA
    "ts": "video/mp2t",  # RFC 3555, RFC 8216
    "m3u8": "application/vnd.apple.mpegurl",  # RFC 8216
    "mpd": "application/dash+xml",  # IANA
    "vtt": "text/vtt",  # IANA
    "srt": "application/x-subrip",  # Apache
    "glb": "model/gltf-binary",  # IANA
    "gltf": "model/gltf+json",  # IANA
    "usdz": "model/vnd.usdz+zip",  # IANA
    "obj": "model/obj",  # IANA
    "stl": "model/stl",  # IANA
    "ktx2": "image/ktx2",  # IANA
    "ipynb": "application/x-ipynb+json",  # Jupyter
    "pdf": "application/pdf",  # RFC 8118
    "epub": "application/epub+zip",  # IANA
    "zip": "application/zip",  # IANA
    "gz": "application/gzip",  # RFC 6713
    "tar.gz": "application/gzip",  # RFC 6713
    "tgz": "application/gzip",  # RFC 6713
    "zst": "application/zstd",  # RFC 8878
    "xz": "application/x-xz",  # Debian, Apache
    "bz2": "application/x-bzip2",  # Apache
    "br": "application/octet-stream",  # no type is registered or in use
    "7z": "application/x-7z-compressed",  # nginx, Apache
    "rar": "application/vnd.rar",  # IANA
    "tar": "application/x-tar",  # Debian, Apache
    "apk": "application/vnd.android.package-archive",  # IANA
    "deb": "application/vnd.debian.binary-package",  # IANA
    "rpm": "application/x-redhat-package-manager",  # Debian, nginx
    "iso": "application/octet-stream",  # nginx
    "dmg": "application/octet-stream",  # nginx
    "exe": "application/octet-stream",  # nginx
    "msi": "application/octet-stream",  # nginx
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",  # IANA
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",  # IANA
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",  # IANA
    "swf": "application/x-shockwave-flash",  # nginx, Apache
}

SHOWN = "a text that browsers show as text/plain and would otherwise download"
OTHER = "what is registered is another format with the same extension"

ARGUED = {
    **dict.fromkeys("asm c cc cpp cxx h hh hpp hxx java py s".split(), SHOWN),
    "adp": OTHER,
    "aif": "WHATWG MIME Sniffing §6.2 has audio/aiff",
    "aifc": "WHATWG MIME Sniffing §6.2 has audio/aiff",
    "aiff": "WHATWG MIME Sniffing §6.2 has audio/aiff",
    "asf": "nginx and Apache have video/x-ms-asf, and so have players",
    "cjs": "browsers run no application/node",
    "coffee": "the type that pages have for scripts in it",
    "cst": OTHER,
    "cur": "WHATWG MIME Sniffing §6.1",
    "dll": "Apache; registered is application/octet-stream",
    "ecma": "RFC 9239 makes text/javascript the type of all of them",
    "emz": "EMF in gzip, which nobody unpacks",
    "erf": OTHER,
    "fla": OTHER,
    "gsheet": OTHER,
    "ico": "WHATWG MIME Sniffing §6.1, nginx; browsers take it for image/vnd.microsoft.icon",
    "jsx": "a script",
    "manifest": "ClickOnce needs it; what is registered was AppCache's, which is gone from browsers",
    "m4b": "RFC 4337: a file with nothing but audio",
    "m4r": "RFC 4337: a file with nothing but audio",
    "mdb": "Apache",
    "mid": "nginx, Apache; registered is a profile of it for phones",
    "mod": OTHER,
    "mts": OTHER,
    "nsc": "a station's description for players of video/x-ms-asf",
    "pls": OTHER,
    "prc": "Apache; registered is another format with the same extension",
    "pub": "Apache; registered is another format with the same extension",
    "rmp": OTHER,
    "rs": "Rust; registered is another format with the same extension",
    "scd": "Apache; registered is another format with the same extension",
    "scr": "a screen saver of Windows; Debian's is another format",
    "sgi": "Apache; registered is another format with the same extension",
    "sid": "Apache; registered is another format with the same extension",
    "srt": "Apache; text/plain says less",
    "svc": "a description in XML; registered is another format with the same extension",
    "swf": "nginx, Apache and what pages name in their markup",
    "tgz": "RFC 6713: it is gzip",
    "vbox": OTHER,
    "wsc": "a script of Windows; registered is another format with the same extension",
    "yaml": "RFC 9512, which is younger than the lists",
    "yml": "RFC 9512, which is younger than the lists",
    "xsd": "RFC 7303 §9.2: text/xml and application/xml are the same",
    "xsl": "RFC 7303 §9.2: text/xml and application/xml are the same",
    "xslt": "XML, which browsers take for a style sheet",
}


def mime_types(path):
    """The types of each extension in a file such as /etc/mime.types, or nginx's."""
    types = collections.defaultdict(list)
    with open(path, encoding="utf-8") as file:
        for line in file:
            of, *extensions = line.split("#")[0].strip().rstrip(";").split() or [""]
            for extension in extensions if "/" in of else []:
                types[extension.lower()].append(of.lower())
    return types


def mime_guess():
    """The extensions that mime_guess knows, out of its source."""
    metadata = subprocess.run(["cargo", "metadata", "--locked", "--format-version=1"], capture_output=True, check=True, text=True)
    paths = [package["manifest_path"] for package in json.loads(metadata.stdout)["packages"] if package["name"] == "mime_guess"]
    with open(os.path.join(os.path.dirname(paths[0]), "src", "mime_types.rs"), encoding="utf-8") as file:
        return set(re.findall(r'^\s*\("([^"]+)", *&\[', file.read(), re.M))


def corrected():
    """The extensions in this server's own table."""
    path = os.path.join(os.path.dirname(__file__), "..", "..", "src", "http", "extensions.rs")
    with open(path, encoding="utf-8") as file:
        return set(re.findall(r'^ *\("([^"]+)", "', file.read(), re.M))


class Registries:
    def __init__(self, directory):
        self.debian = mime_types(os.path.join(directory, "debian"))
        self.nginx = mime_types(os.path.join(directory, "nginx"))
        self.iana, self.others = collections.defaultdict(set), collections.defaultdict(set)
        with open(os.path.join(directory, "mime-db"), encoding="utf-8") as file:
            for of, entry in json.load(file).items():
                for extension in entry.get("extensions", []):
                    (self.iana if entry.get("source") == "iana" else self.others)[extension].add(of)
        for extension, types in self.debian.items():
            # Debian has IANA's types and unregistered ones, which begin with x- or are the chemists'.
            self.iana[extension].update(of for of in types if not re.match("x-|chemical/|[^/]*/x-", of))

    def problem(self, extension, of):
        """Why `of` is not the type of `extension`, or None."""
        registered = self.iana[extension]
        known = registered | self.others[extension] | set(self.debian[extension]) | set(self.nginx[extension])
        if of in registered or of in self.debian[extension] or of in known and not registered or not known:
            return None
        return "registered is " + ", ".join(sorted(registered)) if registered else "others have " + ", ".join(sorted(known))


def served(address, root, extensions):
    """What the server says of an empty file with each extension."""
    directory = os.path.join(root, "types")
    os.makedirs(directory, exist_ok=True)
    client = http.client.HTTPConnection(*address, timeout=30)
    types = {}
    for extension in sorted(extensions):
        with open(os.path.join(directory, "x." + extension), "wb"):
            pass
        client.request("HEAD", "/types/x." + extension)
        answer = client.getresponse()
        answer.read()
        coding = answer.getheader("content-encoding")
        if answer.status != 200 or (coding == "gzip") != (extension == "svgz"):
            sys.exit(f"FAIL media types: x.{extension} gave {answer.status} with Content-Encoding {coding}")
        types[extension] = answer.getheader("content-type").lower()
        if answer.getheader("connection") == "close":
            client.close()
    return types


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--root", required=True, help="the server's document root; files are written there")
    parser.add_argument("--registries", required=True, help="a directory with the files debian, nginx and mime-db")
    options = parser.parse_args()
    registries = Registries(options.registries)
    guessed, own = mime_guess(), corrected()
    if len(guessed) < 1000 or len(own) < 50 or min(len(registries.debian), len(registries.iana)) < 1000:
        sys.exit("FAIL media types: a table was not read")
    # What only the registries know is sent as unknown, unless a page loads it.
    held = guessed | own | set(WEB) | set(registries.nginx)
    types = served((options.host, options.port), options.root, held)
    failures = [f".{extension} is {types[extension]}, not {of}" for extension, of in WEB.items() if types[extension] != of]
    argued = 0
    for extension, of in types.items():
        problem = registries.problem(extension, of)
        if problem and extension in ARGUED:
            argued += 1
        elif problem:
            failures.append(f".{extension} is {of}: {problem}")
    for failure in failures:
        print("FAIL media types: " + failure)
    if failures:
        sys.exit(1)
    print(f"PASS media types: {len(types)} extensions, {len(own)} of them corrected, {argued} argued, {len(WEB)} as pages need them")


if __name__ == "__main__":
    main()

"""Interleaved rounds of every row on its servers; prints what was reached. Started by `run`, which installs what is needed."""

import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import chart
import clients
import network
import report
import rows
import servers
import tls

PROJECT = Path(__file__).resolve().parents[2]
NATIVE = Path(__file__).with_name("native")
SETTLING = 2.5  # seconds; a site's files are not new, and servers may treat new ones with care
DESCRIPTORS = 20_000  # for 10,000 connections on either side


def main():
    options = parse_options()
    os.umask(0o022)  # servers that drop root must be able to read the files
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit("Stopped by a signal."))
    allow_descriptors()
    native = build(NATIVE)
    peers_only = options.servers and "otus" not in options.servers
    otus = options.binary or ("otus-httpd" if peers_only else build(PROJECT)["otus-httpd"])
    network.enter(options.congestion_control)  # after the builds, which may have to fetch
    chosen_rows = [row for row in rows.everything(native["fetch"], native["handshakes"], native["link"]) if row.name in options.row]
    if options.compare:
        chosen_rows = [row.compared_as_well() for row in chosen_rows]
    results = {}
    with tempfile.TemporaryDirectory(prefix="otus-bench-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        root = make_root(folder / "root", chosen_rows, otus)
        tls.make_certificate(folder / "certificates")
        for row in chosen_rows:
            if row.tls:
                known = tls.everyone(otus, options.compare, options.otus_args, folder / "certificates")
            else:
                known = servers.everyone(otus, options.compare, options.otus_args, native["floor"], row.file)
            wanted = [*options.servers, "compared"] if options.servers else row.servers
            columns = [s for s in known if s.name in row.servers and s.name in wanted]
            (folder / row.name).mkdir(mode=0o755)
            results[row.name] = measure(row, columns, folder / row.name, root, options.rounds, native["fetch"])
            print("\n".join(report.describe_row(row, columns, results[row.name])), file=sys.stderr, flush=True)

    known = [*servers.everyone(otus, options.compare, options.otus_args, native["floor"], ""), *tls.everyone(otus, options.compare, options.otus_args, "")]
    known = {s.name: s for s in known}
    text = report.everything(options, known, chosen_rows, results)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    if options.chart:
        options.chart.write_text(chart.draw(chosen_rows, results))


def parse_options():
    all_rows = [row.name for row in rows.everything("", "", "")]
    all_servers = [s.name for s in [*servers.everyone("", "", "", "", ""), *tls.everyone("", "", "", "")] if s.name != "compared"]
    all_servers = list(dict.fromkeys(all_servers))
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Measures otus-httpd against other web servers.")
    parser.add_argument("--row", type=chosen(all_rows), default=all_rows, metavar="A,B", help="of: " + ", ".join(all_rows))
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="default: 5")
    parser.add_argument("--servers", type=chosen(all_servers), metavar="A,B", help="only these of a row's servers, of: " + ", ".join(all_servers))
    parser.add_argument("--binary", type=program, metavar="PATH", help="an otus-httpd to measure, instead of building one")
    parser.add_argument("--compare", type=program, metavar="PATH", help="another otus-httpd, measured in the same rounds: a version before, or the same one to see the noise")
    parser.add_argument("--otus-args", default="", metavar="'...'", help="further options for otus-httpd (write --otus-args='...')")
    parser.add_argument("--congestion-control", metavar="NAME", help="of the network that is measured on; default: cubic, or reno where that cannot be had")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report to this file, too")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the verdicts to this SVG file")
    return parser.parse_args()


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 up")
    return int(text)


def program(text):
    if not os.access(text, os.X_OK) or Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a program; give the path of a built otus-httpd")
    return str(Path(text).resolve())


def chosen(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is not one of {', '.join(known)}")
        return names

    return parse


def allow_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = max(hard, DESCRIPTORS) if os.geteuid() == 0 else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, DESCRIPTORS), wanted))


def build(crate):
    """Builds the programs of a crate: {name: path}."""
    print(f"cargo build --release in {crate}", file=sys.stderr, flush=True)
    # Cargo itself says where the binary is: the folder depends on the environment and on Cargo's configuration.
    target = os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")
    built = subprocess.run(
        ["cargo", "build", "--release", "--locked", "--bins", "--message-format=json-render-diagnostics"],
        cwd=crate, stdout=subprocess.PIPE, text=True, env={**os.environ, "CARGO_TARGET_DIR": str(target)},
    )
    if built.returncode != 0:
        sys.exit("The build failed; see above. (--binary PATH measures one that is already built.)")
    messages = map(json.loads, built.stdout.splitlines())
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}


def make_root(root, chosen_rows, otus):
    root.mkdir()
    for name, size in rows.FILES.items():
        with open(root / name, "wb") as file:
            for start in range(0, size, rows.MIB):
                file.write(os.urandom(min(rows.MIB, size - start)))
    for row in chosen_rows:
        if row.prepare:
            row.prepare(root, otus)
    os.sync()  # else the disk is busy while the first row is measured
    time.sleep(SETTLING)
    return root


def measure(row, columns, folder, root, rounds, fetch):
    """{server: [figures of each round]}"""
    results = {column.name: [] for column in columns}
    with deferred_signals() as cleanup:
        running = {}
        for turn in range(rounds):
            # Another server begins each time, so that none always runs in the wake of the same neighbour.
            first = turn % len(columns)
            for column in columns[first:] + columns[:first]:
                server = running.get(column.name)
                if not server:
                    server = running[column.name] = start(row, column, folder / f"{column.name}-{turn}", root, fetch, cleanup)
                figures = row.measure(server)
                results[column.name].append(figures)
                told = ", ".join(f"{heading} {figures[name]:.{digits}f}" for name, heading, digits in row.figures)
                print(f"{row.name}, round {turn + 1} of {rounds}, {column.label}: {told}", file=sys.stderr, flush=True)
                if row.fresh:
                    running.pop(column.name).stop()  # which its cleanup then does not repeat
    return results


def start(row, column, folder, root, fetch, cleanup):
    server = servers.Running(column, folder, root)
    cleanup.callback(server.stop)
    server.check(row.file, (root / row.file).read_bytes())
    if row.tls:
        tls.check_negotiated(server)
        clients.h2load(server.url(row.file), 2000 if rows.FILES[row.file] < rows.MIB else 10, 10)
    elif row.warm and column.status == 200:
        clients.fetch(fetch, server.url(row.file), 100, 2000 if rows.FILES[row.file] < rows.MIB else 10)
    return server


@contextlib.contextmanager
def deferred_signals():
    """What is to be undone at the end. A second Ctrl-C must not leave servers behind while the first one is stopping them."""
    endings = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with contextlib.ExitStack() as cleanup:
        try:
            yield cleanup
        finally:
            handlers = [signal.signal(ending, signal.SIG_IGN) for ending in endings]
            cleanup.close()
            for ending, handler in zip(endings, handlers):
                signal.signal(ending, handler)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted.")

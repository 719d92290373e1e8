"""Interleaved rounds of every workload on every server; prints a table. Started by `run`, which installs what is needed."""

import argparse
import json
import os
import platform
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import servers
import workloads

PROJECT = Path(__file__).resolve().parents[2]
PAGE_SIZE = 97  # of test.html, as in the report of the server that otus-httpd replaces
CLIENT_DEADLINE = 180  # seconds; the longest run here takes 15 on a slow machine


def main():
    options = parse_options()
    os.umask(0o022)  # servers that drop root must be able to read the files
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit("Stopped by a signal."))
    peers_only = "otus" not in options.servers
    binary = options.binary or ("otus-httpd" if peers_only else build())
    columns = [s for s in servers.everyone(binary, options.otus_args) if s.name in options.servers]
    rows = [w for w in workloads.ALL if w.name in options.workloads]

    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="otus-bench-")))
        folder.chmod(0o755)
        root = make_root(folder / "root")
        try:
            running = []
            for server in columns:
                running.append(servers.Running(server, folder / server.name, root))
                cleanup.callback(running[-1].stop)
            for server in running:
                for file in {row.file for row in rows}:
                    server.check(file, (root / file).read_bytes())
                run_client(["ab", "-q", "-n", "2000", "-c", "100", server.url("test.html")], "the warm-up")
            results = measure(rows, running, options.rounds)
        finally:
            # A second Ctrl-C must not leave servers behind while the first one is stopping them.
            for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(ending, signal.SIG_IGN)

    report = "\n".join(describe(options, columns, rows) + table(columns, rows, results))
    print(report)
    if options.markdown:
        options.markdown.write_text(report + "\n")


def parse_options():
    all_servers = [s.name for s in servers.everyone("", "")]
    all_workloads = [w.name for w in workloads.ALL]
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Measures otus-httpd against other web servers.")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="default: 5; a round of everything takes about a minute")
    parser.add_argument("--servers", type=chosen(all_servers), default=all_servers, metavar="A,B", help="of: " + ",".join(all_servers))
    parser.add_argument("--workloads", type=chosen(all_workloads), default=all_workloads, metavar="A,B", help="of: " + ",".join(all_workloads))
    parser.add_argument("--binary", type=program, metavar="PATH", help="an otus-httpd to measure, instead of building one")
    parser.add_argument("--otus-args", default="", metavar="'...'", help="further options for otus-httpd (write --otus-args='...')")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report to this file, too")
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


def build():
    print("cargo build --release", file=sys.stderr, flush=True)
    # Cargo itself says where the binary is: the folder depends on the environment and on Cargo's configuration.
    built = subprocess.run(
        ["cargo", "build", "--release", "--bin", "otus-httpd", "--message-format=json-render-diagnostics"],
        cwd=PROJECT, stdout=subprocess.PIPE, text=True,
    )
    if built.returncode != 0:
        sys.exit("The build failed; see above. (--binary PATH measures one that is already built.)")
    messages = map(json.loads, built.stdout.splitlines())
    return [m["executable"] for m in messages if m.get("executable")][-1]


def make_root(root):
    root.mkdir()
    page = PROJECT / "www" / "test.html"
    content = page.read_bytes() if page.exists() else b"<!DOCTYPE html><title>test</title>".ljust(PAGE_SIZE, b"\n")
    if len(content) != PAGE_SIZE:
        sys.exit(f"{page} is {len(content)} bytes long; it must be {PAGE_SIZE} to be comparable.")
    (root / "test.html").write_bytes(content)
    return root


def run_client(command, what):
    try:
        client = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=CLIENT_DEADLINE)
    except subprocess.TimeoutExpired:
        sys.exit(f"{what}: {shlex.join(command)} did not end within {CLIENT_DEADLINE} s.")
    if client.returncode != 0:
        sys.exit(f"{what}: {shlex.join(command)} failed with status {client.returncode}:\n{client.stdout}")
    return client.stdout


def measure(rows, running, rounds):
    """{(workload, server): [(requests/s, CPU µs per request) of each round]}"""
    results = {}
    for turn in range(rounds):
        for row in rows:
            # Another server begins each time, so that none always runs in the wake of the same neighbour.
            first = turn % len(running)
            for server in running[first:] + running[:first]:
                what = f"round {turn + 1} of {rounds}, {row.name}, {server.server.label}"
                before = server.cpu_seconds()
                printed = run_client(row.command(server.url(row.file)), what)
                used = server.cpu_seconds() - before
                report = row.read(printed)
                if report.failed or not report.requests:
                    sys.exit(f"{what}: {report.failed} of {report.requests} requests failed:\n{printed}{server.said()}")
                cost = used / report.requests * 1e6
                results.setdefault((row.name, server.server.name), []).append((report.per_second, cost))
                print(f"{what}: {report.requests} requests, 0 failed, {report.per_second:.0f}/s, {cost:.2f} µs", file=sys.stderr, flush=True)
    return results


def describe(options, columns, rows):
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*: (.*)", cpuinfo.read())
    with open("/etc/os-release") as release:
        system = re.search(r'PRETTY_NAME="(.*)"', release.read())[1]
    command = ["tests/bench/run", "--rounds", str(options.rounds)]
    command += ["--servers", ",".join(options.servers), "--workloads", ",".join(options.workloads)]
    command += [f"--otus-args={options.otus_args}"] if options.otus_args else []
    versions = {c.version[0].split("/")[-1]: version(c.version) for c in columns + rows}
    return [
        f"- Machine: {model[1] if model else platform.machine()}, {os.cpu_count()} cores (clients and servers share them); {system}, Linux {platform.release()}",
        "- Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()),
        f"- Command: `{shlex.join(command)}`",
        f"- Figures: median (lowest-highest) of {options.rounds} interleaved rounds; every server with {servers.WORKERS} workers and no access log; 0 failed requests",
        "- Ratio: otus-httpd to the server of the line, within a round; below 1 in CPU is cheaper, above 1 in requests/s is faster",
    ]


def version(command):
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return re.search(r"\d+\.\d+(\.\d+)*", told)[0]


def table(columns, rows, results):
    """A Markdown table for each workload, padded so that it reads well in a terminal."""
    lines = []
    for row in rows:
        cells = [["Server", "Requests/s", "CPU µs/request", "CPU, ratio", "Requests/s, ratio"]]
        ours = results.get((row.name, "otus"))
        for column in columns:
            theirs = results[row.name, column.name]
            rates, costs = zip(*theirs)
            line = [column.label, spread(rates, 0), spread(costs, 1), "", ""]
            if ours and ours is not theirs:
                # Paired within the round: what disturbed the machine then disturbed both.
                line[3] = spread([a[1] / b[1] for a, b in zip(ours, theirs)], 2)
                line[4] = spread([a[0] / b[0] for a, b in zip(ours, theirs)], 2)
            cells.append(line)
        widths = [max(map(len, column)) for column in zip(*cells)]
        cells.insert(1, ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]])
        lines += ["", f"**{row.label}**: `{shlex.join(row.command('http://127.0.0.1:PORT/' + row.file))}`", ""]
        lines += ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in cells]
    return lines


def spread(figures, digits):
    middle, low, high = (f"{f:.{digits}f}" for f in (statistics.median(figures), min(figures), max(figures)))
    return f"{middle} ({low}-{high})"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted.")

"""The report: a verdict for each bound, then the figures of each server, as Markdown that reads well in a terminal."""

import os
import platform
import re
import shlex
import statistics
import subprocess

import network
import servers


def everything(options, known, rows, results):
    lines = machine(options, known, rows) + ["", *verdicts(rows, results)]
    for row in rows:
        lines += ["", *describe_row(row, [known[name] for name in results[row.name]], results[row.name])]
    return "\n".join(lines)


def verdicts(rows, results):
    cells = [["Row", "otus-httpd against", "at most", "measured", "verdict"]]
    for row in rows:
        for bound in row.bounds:
            values = bound.values(results[row.name])
            cells.append([row.label, bound.label, amount(bound.at_most, bound.unit), *verdict(bound, values)])
    return table(cells, right=(2, 3))


def verdict(bound, values):
    if not values:
        return ["", "not measured"]
    middle = statistics.median(values)
    measured = spread(values, digits(bound.unit))
    if middle <= bound.at_most:
        return [measured, "reached"]
    return [measured, f"not reached: {amount(middle, bound.unit)} instead of {amount(bound.at_most, bound.unit)}"]


def digits(unit):
    return {"x": 2, "ms": 1, "MiB": 1}.get(unit, 0)


def figure(value, unit):
    return f"{value:.{digits(unit)}f}"


def amount(value, unit):
    return f"{figure(value, unit)} {unit}".strip()


def describe_row(row, columns, results):
    cells = [["Server", *(heading for _, heading, _ in row.figures)]]
    ours = results.get("otus")
    ratio = any(name == "cost" for name, _, _ in row.figures) and ours
    if ratio:
        cells[0].append("otus-httpd to this")
    for column in columns:
        theirs = results[column.name]
        line = [column.label, *(spread([figures[name] for figures in theirs], places) for name, _, places in row.figures)]
        if ratio:
            # Paired within the round: what disturbed the machine then disturbed both.
            line.append("" if theirs is ours else spread([a["cost"] / b["cost"] for a, b in zip(ours, theirs)], 2))
        cells.append(line)
    return [f"**{row.label}** ({row.name}; {row.how})", "", *table(cells, right=range(1, len(cells[0])))]


def table(cells, right):
    widths = [max(map(len, column)) for column in zip(*cells)]
    rule = ["-" * (width - 1) + (":" if place in right else "-") for place, width in enumerate(widths)]
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in [cells[0], rule, *cells[1:]]]


def spread(figures, places):
    middle, low, high = (f"{f:.{places}f}" for f in (statistics.median(figures), min(figures), max(figures)))
    return f"{middle} ({low}-{high})"


def machine(options, known, rows):
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*: (.*)", cpuinfo.read())
    with open("/etc/os-release") as release:
        system = re.search(r'PRETTY_NAME="(.*)"', release.read())[1]
    command = ["tests/bench/run", "--rounds", str(options.rounds), "--row", ",".join(options.row)]
    command += ["--servers", ",".join(options.servers)] if options.servers else []
    command += ["--compare", options.compare] if options.compare else []
    command += [f"--otus-args={options.otus_args}"] if options.otus_args else []
    command += ["--congestion-control", options.congestion_control] if options.congestion_control else []
    programs = [column.version for name, column in known.items() if any(name in row.servers for row in rows) and column.version]
    versions = {command[0].split("/")[-1]: version(command) for command in [*programs, ["wrk", "-v"], ["ab", "-V"]]}
    load = os.getloadavg()[1]
    return [
        f"- Machine: {model[1] if model else platform.machine()}, {os.cpu_count()} cores (clients and servers share them); {system}, Linux {platform.release()}; load {load:.1f} (5 min)",
        f"- Network: {network.described()}",
        "- Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()),
        f"- Command: `{shlex.join(command)}`",
        f"- Figures: median (lowest-highest) of {options.rounds} interleaved rounds; every server with {servers.WORKERS} workers, and no access log but in the row about it; no request failed",
        "- Ratios: server CPU time of otus-httpd to that of the peer, within a round; below 1 is cheaper. \"nginx tuned\" is the cheaper of its two configurations",
    ]


def version(command):
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return re.search(r"\d+\.\d+(\.\d+)*", told)[0]

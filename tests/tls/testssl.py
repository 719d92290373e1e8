"""testssl.sh: every finding is fine, or has a reason here."""

import json
import subprocess

from authority import NAME

# The time limit of one run, in seconds.
TIMEOUT = 300

# Two runs at the same time: a run takes longer to start than most checks. Together they are all checks, the tests for
# faults of implementations included.
RUNS = {
    "protocols": ["--protocols", "--standard", "--pfs", "--server-preference", "--server-defaults", "--headers", "--rc4"],
    "vulnerabilities": ["--vulnerable", "--grease", "--client-simulation"],
}

# Findings of severity LOW or more, or about the check itself, that are no fault: identifier and severity. Each must be found.
ACCEPTED = {
    ("BREACH", "MEDIUM"): "precompressed variants are of files, which contain neither a secret nor what a client has sent",
    ("engine_problem", "WARN"): "OpenSSL of Debian has no GOST, nor has the server",
}
# Findings that depend on the load of the machine.
POSSIBLE = {
    ("sessionresumption_ticket", "WARN"): "s_client ends at once, and a ticket of TLS 1.3 may come later; clients.py resumes sessions",
}
# DNS_CAA is not among them: the name is in no DNS, and nothing is looked up (--nodns none).

# Severities that need no reason.
FINE = ("OK", "INFO")

# Clients of the simulation that have neither TLS 1.3 nor an AEAD cipher of TLS 1.2. All others connect.
TOO_OLD = {"ie_6_xp", "ie_8_xp", "ie_8_win7", "java_7u25"}


class Testssl:
    """Runs in the background."""

    def __init__(self, directory, root, port):
        self._directory = directory
        self._processes = {}
        for name, checks in RUNS.items():
            with open(directory / f"{name}.txt", "wb") as output:
                self._processes[name] = subprocess.Popen(
                    ["testssl", "--quiet", "--color=0", "--warnings=batch", "--nodns=none", "--ip=127.0.0.1",
                     f"--add-ca={root}", f"--jsonfile={directory / name}.json", *checks, f"{NAME}:{port}"],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)

    def findings(self):
        """Waits for the end. Returns the findings."""
        found = []
        for name, process in self._processes.items():
            process.wait(TIMEOUT)
            found += json.loads((self._directory / f"{name}.json").read_text())
        return found

    def close(self):
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
                process.wait()


def judge(findings):
    """Returns what is wrong, and a summary."""
    faults = []
    serious = {(finding["id"], finding["severity"]): finding["finding"] for finding in findings if finding["severity"] not in FINE}
    faults += [f"{key[1]} {key[0]}: {text}" for key, text in serious.items() if key not in ACCEPTED | POSSIBLE]
    faults += [f"{key[1]} {key[0]} is in ACCEPTED, but was not found" for key in ACCEPTED if key not in serious]
    prefix = "clientsimulation-"
    clients = {finding["id"].removeprefix(prefix): finding["finding"] for finding in findings if finding["id"].startswith(prefix)}
    refused = {name for name, result in clients.items() if result == "No connection"}
    if refused != TOO_OLD:
        faults.append(f"these clients do not connect: {sorted(refused)}")
    accepted = ", ".join(key[0] for key in ACCEPTED)
    return faults, (f"{len(findings)} findings, none of severity LOW or more but those with a reason ({accepted}); "
                    f"{len(clients) - len(refused)} of {len(clients)} simulated clients connect")

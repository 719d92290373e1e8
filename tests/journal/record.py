"""What a record of the access log may be. What is wrong with one is told in words."""

import calendar
import re
import time

# Escaped text: in a field a quote stands for itself, in MESSAGE it does not.
TEXT = r"(?:[ !#-\[\]-~]|\\x[0-9A-F]{2})*"
FIELD_TEXT = re.compile(r"(?:[ -\[\]-~]|\\x[0-9A-F]{2})*")
COMBINED = re.compile(
    rf'(?P<address>[0-9a-f.:]+|-) - - \[(?P<time>\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d) \+0000\] '
    rf'"(?P<request>{TEXT})" (?P<status>[1-5]\d\d|-) (?P<bytes>\d+) "(?P<referer>{TEXT})" "(?P<agent>{TEXT})"'
)
NUMBER = re.compile(r"0|[1-9]\d*")
COUNTS = re.compile(r"(\S+/(?:\d{3}|-)=[1-9]\d*)( \S+/(?:\d{3}|-)=[1-9]\d*)*")

# What every record has, and what says nothing about a request.
COMMON = {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "TARGET"}
ASIDE = {"CODE_FILE", "CODE_LINE", "SYSLOG_FACILITY"}

# By TARGET: the fields that each record has, and those that it may have.
FIELDS = {
    "access": (
        {"BYTES_SENT", "DURATION_US", "WORKER", "CONNECTION"},
        {"HTTP_METHOD", "HTTP_TARGET", "HTTP_VERSION", "STREAM", "HTTP_STATUS", "HTTP_HOST", "HTTP_REFERER", "HTTP_USER_AGENT", "HTTP_USER", "CLIENT_ADDRESS",
         "CLIENT_PORT", "REQUEST", "RANGE", "ENCODING", "CAUSE", "HTTP_SCHEME", "TLS_VERSION", "TLS_CIPHER", "TLS_GROUP",
         "TLS_NAME", "TLS_RESUMED", "PROXY_AUTHORITY"},
    ),
    "access_sum": ({"REQUESTS", "COUNTS", "BYTES_SENT", "WORKER"}, {"SLOWEST_US", "SLOWEST_TARGET"}),
    "access_dropped": ({"DROPPED", "SINCE_US", "UNTIL_US", "MESSAGE_ID"}, {"WORKER"}),
}
NUMBERS = {
    "HTTP_STATUS", "CLIENT_PORT", "BYTES_SENT", "DURATION_US", "WORKER", "CONNECTION", "REQUEST", "STREAM", "REQUESTS", "SLOWEST_US",
    "DROPPED", "SINCE_US", "UNTIL_US", "PRIORITY",
}


def own_fields(record):
    """Without those that journald itself adds."""
    return {name: value for name, value in record.items() if not name.startswith("_") and name not in ASIDE}


def problems(record):
    """What is wrong with a record, whatever the client did."""
    target = record.get("TARGET")
    if target not in FIELDS:
        return [f"TARGET is {target!r}"]
    fields = own_fields(record)
    # What is not text is a list of bytes; what is there twice, a list of texts.
    odd = [f"{name} is {value!r}" for name, value in fields.items() if not isinstance(value, str)]
    if odd:
        return odd
    least, most = FIELDS[target]
    missing, alien = (COMMON | least) - fields.keys(), fields.keys() - COMMON - least - most
    odd += [f"no {name}" for name in sorted(missing)] + [f"a field {name}" for name in sorted(alien)]
    odd += [f"{name} is {fields[name]!r}" for name in NUMBERS & fields.keys() if not NUMBER.fullmatch(fields[name])]
    odd += [f"{name} is {text!r}" for name, text in fields.items() if name != "MESSAGE" and not FIELD_TEXT.fullmatch(text)]
    if fields.get("SYSLOG_IDENTIFIER") != "otus-httpd":
        odd.append(f"SYSLOG_IDENTIFIER is {fields.get('SYSLOG_IDENTIFIER')!r}")
    return odd or [*ODDITIES[target](fields)]


def odd_access(fields):
    """MESSAGE says what the fields do."""
    found = COMBINED.fullmatch(fields["MESSAGE"])
    if not found:
        yield f"MESSAGE is {fields['MESSAGE']!r}"
        return
    status = fields.get("HTTP_STATUS", "-")
    told = {
        "address": fields.get("CLIENT_ADDRESS", "-"),
        "status": status,
        "bytes": fields["BYTES_SENT"],
        "referer": in_message(fields.get("HTTP_REFERER", "-")),
        "agent": in_message(fields.get("HTTP_USER_AGENT", "-")),
    }
    seen = found.groupdict()
    if "HTTP_METHOD" in fields or "HTTP_TARGET" in fields:
        seen["method"], _, rest = found["request"].partition(" ")
        seen["target"], _, version = rest.rpartition(" ")
        told |= {"method": fields.get("HTTP_METHOD"), "target": in_message(fields.get("HTTP_TARGET", "-"))}
        if version not in ("HTTP/1.0", "HTTP/1.1"):
            yield f"the version is {version!r}"
    wrong = [(seen[name], text) for name, text in told.items() if not is_same(seen[name], text)]
    yield from (f"MESSAGE has {in_message!r} and not {text!r}" for in_message, text in wrong)
    if abs(ended(fields) - time.time()) > 120:
        yield f"the time is {found['time']}"
    if fields["PRIORITY"] != ("3" if status >= "5" else "5" if status >= "4" else "6"):
        yield f"PRIORITY is {fields['PRIORITY']} with {status}"


def ended(fields):
    """When the request did, in seconds since the epoch."""
    told = COMBINED.fullmatch(fields["MESSAGE"])["time"]
    return calendar.timegm(time.strptime(told, "%d/%b/%Y:%H:%M:%S"))


def is_same(in_message, in_field):
    """Whether a text in MESSAGE is that of the field, or its beginning: quotes take more room there, so it is cut sooner."""
    return in_message == in_field or in_message.endswith("...") and in_field.startswith(in_message.removesuffix("..."))


def odd_sum(fields):
    """The counts add up."""
    if not COUNTS.fullmatch(fields["COUNTS"]):
        yield f"COUNTS is {fields['COUNTS']!r}"
    elif sum(counts(fields).values()) != int(fields["REQUESTS"]):
        yield f"REQUESTS is {fields['REQUESTS']} and COUNTS {fields['COUNTS']}"
    elif counts(fields).keys() != {"-/-"} and not {"SLOWEST_US", "SLOWEST_TARGET"} <= fields.keys():
        yield f"nothing is slowest of {fields['COUNTS']}"
    if fields["PRIORITY"] not in "3456":
        yield f"PRIORITY is {fields['PRIORITY']}"


def odd_dropped(fields):
    """Something was dropped, and a while ago."""
    if fields["DROPPED"] == "0":
        yield "nothing was dropped"
    if not int(fields["SINCE_US"]) <= int(fields["UNTIL_US"]) <= time.time() * 1e6:
        yield f"dropped from {fields['SINCE_US']} to {fields['UNTIL_US']}"
    if fields["PRIORITY"] != "4":
        yield f"PRIORITY is {fields['PRIORITY']}"
    if fields["MESSAGE_ID"] != "d7ec30a6a2a6477686898785eb1e496f":
        yield f"MESSAGE_ID is {fields['MESSAGE_ID']}"


ODDITIES = {"access": odd_access, "access_sum": odd_sum, "access_dropped": odd_dropped}


def counts(fields):
    """{"GET/200": 5120}"""
    return {key: int(count) for key, _, count in (part.rpartition("=") for part in fields["COUNTS"].split(" "))}


def key(record):
    """What an individual record would be counted as."""
    status = record.get("HTTP_STATUS", "-")
    return f"{record.get('HTTP_METHOD', '-')}/{status}"


def in_message(text):
    return text.replace('"', r"\x22")


def unescape(text):
    """The bytes that were escaped."""
    return re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())


def is_of(text, sent, least):
    """Whether an escaped text is what was sent, or if it is longer than `least`, its beginning with three dots behind it."""
    if unescape(text) == sent:
        return True
    kept = unescape(text.removesuffix("..."))
    return text.endswith("...") and len(sent) > least and sent.startswith(kept) and len(kept) >= least

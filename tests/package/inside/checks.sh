# shellcheck shell=bash
# To be sourced by scripts inside a test machine: prints PASS or FAIL for each check; the exit status is 1 if one failed.

failures=0

pass() {
    echo "PASS $1"
}

# fail NAME [WHY]
fail() {
    echo "FAIL $1${2:+: $2}"
    failures=$((failures + 1))
}

# check NAME COMMAND...: the command must succeed; its output is shown if it does not.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        pass "$name"
    else
        fail "$name" "'$*' failed. $output"
    fi
}

# equal NAME GOT WANTED
equal() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        fail "$1" "got '$2', expected '$3'"
    fi
}

# wait_for SECONDS COMMAND...: repeats the command, without its output, until it succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.02
    done
}

property() {
    systemctl show --property="$1" "${2:-otus-httpd.service}" | cut -d = -f 2-
}

state() {
    systemctl is-active "otus-httpd.$1" || true
}

# status_of URL [CURL OPTION...]
status_of() {
    curl --silent --output /dev/null --max-time 20 --write-out '%{http_code}' "$@" || true
}

workers() {
    pgrep --parent "$(property MainPID)" --exact otus-httpd
}

# The process that hashes files in the background, while it runs.
helper() {
    pgrep --parent "$(property MainPID)" --exact otus-helper
}

has_workers() {
    [ "$(workers | wc -l)" = "$1" ]
}

# ab_counts LOG: prints the completed, failed and non-2xx requests of an ab run
ab_counts() {
    awk '/^Complete requests/ {c = $3} /^Failed requests/ {f = $3} /^Non-2xx/ {n = $3} END {print c + 0, f + 0, n + 0}' "$1"
}

# The load test that the package must pass on every system.
check_ab() {
    ab -q -n 50000 -c 100 -r -s 60 http://127.0.0.1/test.html > /tmp/ab.log 2>&1 || true
    equal "ab: 50,000 requests, 100 at a time, none failed" "$(ab_counts /tmp/ab.log)" "50000 0 0"
    echo "INFO $(grep 'Requests per second' /tmp/ab.log)"
}

quietly() {
    "$@" > /tmp/output 2>&1 || {
        local status=$?
        cat /tmp/output
        return $status
    }
}

silent() {
    local output
    if ! output=$("$@" 2>&1) || [ -n "$output" ]; then
        echo "$output"
        return 1
    fi
}

# drop_in KIND SECTION LINE...
drop_in() {
    local directory=/etc/systemd/system/otus-httpd.$1.d
    mkdir -p "$directory"
    { echo "[$2]" && printf '%s\n' "${@:3}"; } > "$directory/override.conf"
    systemctl daemon-reload
    forget_starts
}

without_drop_ins() {
    forget_starts
    systemctl stop otus-httpd.service otus-httpd.socket
    rm -rf /etc/systemd/system/otus-httpd.{socket,service}.d
    systemctl daemon-reload
    systemctl start otus-httpd.socket
}

# systemd limits the starts within ten seconds, of sockets as well since 257, and this test exceeds the limit.
forget_starts() {
    systemctl reset-failed
}

finish() {
    if [ $failures -gt 0 ]; then
        echo "--- the journal's last lines:"
        journalctl --no-pager --output short-precise --unit otus-httpd.service --unit otus-httpd.socket SYSLOG_FACILITY=3 | tail -n 40
        exit 1
    fi
    exit 0
}

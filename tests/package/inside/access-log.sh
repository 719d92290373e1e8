# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: the access log in the journal, and the programs that read it. The metrics socket must be
# active.

# Begins the period that `balanced` checks. (Without a cursor: with another filter, journalctl skips the first record after it.)
open_books() {
    check "access log: what was served before is written" wait_for 10 all_logged
    journalctl --sync "${namespace[@]}"
    served_before=$(served)
    opened=$(date +%s.%6N)
}

# Prints the number of requests answered and of connections that ended without one, from the metrics.
served() {
    counted_all 'otus_http_(requests|connections_unused)_total'
}

all_logged() {
    [ "$(counted_all otus_log_records_total)" = "$(served)" ]
}

# counted_all REGEX: prints the sum over all labels
counted_all() {
    curl --silent http://127.0.0.1:9180/metrics | awk -v name="^$1[{ ]" '$0 ~ name {sum += $NF} END {print sum + 0}'
}

# since_books MATCH...: the journal's records since open_books.
since_books() {
    journalctl --quiet --unit otus-httpd --since "@$opened" "${namespace[@]}" "$@"
}
namespace=()

# Prints the numbers of records, summarized requests and dropped records in the journal since then.
account() {
    since_books --output json --output-fields TARGET,REQUESTS,DROPPED | python3 "$here/clients.py" account
}

# Succeeds if every request is in the journal, as a record, in a summary or as dropped, and the metrics have the same numbers.
balanced() {
    local individual summed dropped
    all_logged || return 1
    read -r individual summed dropped < <(account)
    [ $((individual + summed + dropped)) = $(($(served) - served_before)) ]
}

# check_books NAME
check_books() {
    check "$1: individual + summed + dropped = served" wait_for 20 balanced
    echo "INFO $1: individual, summed, dropped: $(account)"
}

# A request that has every field, and one that tries to forge records.
access_log_fields() {
    local forged='" 200 1 "-" "-"'
    open_books
    curl --silent --output /dev/null --user-agent "$forged" --referer http://elsewhere/ --range 0-1 "$url/nothing?here"
    check_books "access log: one request"
    equal "access log: its line" "$(since_books --output cat HTTP_STATUS=404 | sed -E 's/\[[^]]+\]/[TIME]/; s/404 [0-9]+/404 SIZE/')" \
        '127.0.0.1 - - [TIME] "GET /nothing?here HTTP/1.1" 404 SIZE "http://elsewhere/" "\x22 200 1 \x22-\x22 \x22-\x22"'
    since_books --output json HTTP_STATUS=404 > /tmp/record.json
    equal "access log: its fields" "$(python3 "$here/clients.py" fields < /tmp/record.json)" \
        "BYTES_SENT CAUSE CLIENT_ADDRESS CLIENT_PORT CONNECTION DURATION_US HTTP_HOST HTTP_METHOD HTTP_REFERER HTTP_STATUS HTTP_TARGET HTTP_USER_AGENT \
PRIORITY=5 RANGE REQUEST TARGET=access WORKER"
    equal "access log: the server's own messages can be had without it" "$(since_books --output cat SYSLOG_FACILITY=3 TARGET=access)" ""
}

# journald has a rate limit that is far too low, which the unit disables, and is restarted meanwhile, which loses no record.
access_log_at_high_rate() {
    mkdir -p /run/systemd/journald.conf.d
    printf '%s\n' '[Journal]' RateLimitIntervalSec=30s RateLimitBurst=50 > /run/systemd/journald.conf.d/test.conf
    systemctl restart systemd-journald
    drop_in service Service Environment=OTUS_LOG_RATE=100000
    systemctl restart otus-httpd
    open_books
    ab -q -k -n 3000 -c 10 $url/test.html > /tmp/ab.log 2>&1
    systemctl restart systemd-journald
    ab -q -k -n 3000 -c 10 $url/test.html > /tmp/ab.log 2>&1
    check_books "access log: at a high rate"

    # While journald hangs, requests are still answered.
    kill -STOP "$(property MainPID systemd-journald.service)"
    ab -q -k -n 20000 -c 10 $url/test.html > /tmp/ab.log 2>&1
    equal "access log: journald hangs, ab" "$(ab_counts /tmp/ab.log)" "20000 0 0"
    kill -CONT "$(property MainPID systemd-journald.service)"
    check_books "access log: journald hangs"
    check "access log: what was dropped is said, and explained" sh -c \
        'journalctl -x -u otus-httpd TARGET=access_dropped | grep "Subject: [0-9]* records of the access log were dropped"'
    check "access log: and is in the status" wait_for 5 sh -c 'systemctl show --property=StatusText otus-httpd | grep "log records dropped [1-9]"'
    rm -r /run/systemd/journald.conf.d/test.conf /etc/systemd/system/otus-httpd.service.d
    systemctl daemon-reload
    systemctl restart systemd-journald otus-httpd
}

# New workers replace the old ones while clients send requests, and then one is killed.
access_log_of_workers_that_end() {
    local load
    open_books
    ab -q -n 20000 -c 10 -r $url/test.html > /tmp/ab.log 2>&1 &
    load=$!
    check "access log: reload under load" systemctl reload otus-httpd
    wait $load
    equal "access log: reload under load, ab" "$(ab_counts /tmp/ab.log)" "20000 0 0"
    check_books "access log: reload under load"
}

# The manual's drop-in; that journal must not drop records either.
access_log_in_a_journal_of_its_own() {
    namespace=(--namespace otus-httpd)
    manual_drop_in service "A separate journal"
    manual_text "A separate journal" '[Journal]' > /etc/systemd/journald@otus-httpd.conf
    printf '%s\n' RateLimitIntervalSec=30s RateLimitBurst=50 >> /etc/systemd/journald@otus-httpd.conf
    check "a journal of its own: restart" systemctl restart otus-httpd
    open_books
    ab -q -k -n 3000 -c 10 $url/test.html > /tmp/ab.log 2>&1
    check_books "a journal of its own"
    check "a journal of its own: its limit counts" grep --quiet 'max 1\(\.0\)\?G' <(journalctl --namespace=otus-httpd -t systemd-journald)
    without_drop_ins
    systemctl stop 'systemd-journald*@otus-httpd.socket' systemd-journald@otus-httpd.service
    rm -r /etc/systemd/journald@otus-httpd.conf /var/log/journal/*.otus-httpd
    namespace=()
}

# GoAccess with the manual's command, and records that could be difficult for it.
goaccess_reads_it() {
    local asked
    printf 'no request\r\n\r\n' | over_tcp
    printf 'GET /un' | over_tcp
    asked=$(journalctl --quiet --unit otus-httpd --output cat HTTP_METHOD=GET HTTP_METHOD=HEAD | wc -l)
    check "goaccess: the manual's command" quietly sh -c "$(manual_text 'Reading the log' 'journalctl -u otus-httpd -o cat HTTP_METHOD' |
        sed 's/report.html/\/tmp\/report.json/')"
    equal "goaccess: it takes every line" "$(python3 -c 'import json; general = json.load(open("/tmp/report.json"))["general"]
print(general["valid_requests"], general["failed_requests"])')" "$asked 0"
}

# over_tcp: sends standard input to the server, and waits for the end of the response
over_tcp() {
    python3 -c 'import socket, sys
with socket.create_connection(("127.0.0.1", 80), 20) as connection:
    connection.sendall(sys.stdin.buffer.read())
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass'
}

# is_shut_out ADDRESS
is_shut_out() {
    [ "$(status_of --interface "$1" http://192.0.2.1/)" = 000 ]
}

# fail2ban as configured in the manual. Further addresses of this machine are the clients; fail2ban ignores its own by default.
fail2ban_reads_it() {
    local forged='testbed otus-httpd[1]: 192.0.2.8 - - [22/Nov/2026:19:41:01 +0000] "GET / HTTP/1.1" 404 1 "-" "-"'
    cp -r /etc/fail2ban /tmp/fail2ban
    # Debian's default jail needs a file that does not exist.
    rm /etc/fail2ban/jail.d/defaults-debian.conf
    printf '[DEFAULT]\nignoreself = false\n' > /etc/fail2ban/jail.d/test.local
    local visitor at=http://192.0.2.1
    for visitor in 1 7 9; do
        ip address add 192.0.2.$visitor/32 dev lo
    done
    check "fail2ban: set up" quietly sh -e -c "$(manual_text 'Reading the log' 'cp -r')"
    curl --silent --interface 192.0.2.7 --user-agent "$forged" --referer "$forged" "$at/nothing[1-20]" "$at/test.html?[1-40]" > /dev/null
    curl --silent "$url/nothing[1-30]" > /dev/null
    curl --silent --interface 192.0.2.9 "$at/nothing[1-30]" > /dev/null
    check "fail2ban: who asks for too much that is not there is shut out" wait_for 20 sh -c 'fail2ban-client status otus-httpd | grep "Banned IP list:.*192.0.2.9"'
    # It reports the ban first, and then adds the rule.
    check "fail2ban: he gets no answer" wait_for 10 is_shut_out 192.0.2.9
    equal "fail2ban: others do" "$(status_of --interface 192.0.2.7 $at/)" 200
    check "fail2ban: this machine is passed over" grep --quiet '\[otus-httpd\] Ignore 127.0.0.1 by ip' /var/log/fail2ban.log
    equal "fail2ban: and gets its answers" "$(status_of $url/)" 200
    equal "fail2ban: whom it has found, and how often" "$(grep -oP 'Found \K[0-9.]+' /var/log/fail2ban.log | sort | uniq -c | xargs)" "20 192.0.2.7 30 192.0.2.9"
    for visitor in 1 7 9; do
        ip address del 192.0.2.$visitor/32 dev lo
    done
    systemctl stop fail2ban
    rm -r /etc/fail2ban /var/lib/fail2ban/*
    mv /tmp/fail2ban /etc/fail2ban
}

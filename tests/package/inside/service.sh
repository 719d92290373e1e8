# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: start, status, journal, workers that die or hang, stop, drain and idle exit.

first_request() {
    equal "first request, IPv4" "$(status_of $url/test.html)" 200
    equal "it started the service" "$(state service)" active
    systemctl stop otus-httpd.service 2> /dev/null
    equal "first request, IPv6" "$(status_of 'http://[::1]/')" 200
    equal "it started the service" "$(state service)" active
    equal "Server header" "$(curl --silent --head $url/ | tr -d '\r' | grep '^Server:')" "Server: OtusServer"
}

status() {
    equal "service type" "$(property Type)" notify
    check "systemctl status shows the server's own words" wait_for 5 sh -c 'systemctl status --no-pager otus-httpd | grep -E "Status: .*workers? .*requests? [1-9]"'
    echo "INFO $(property StatusText)"
    equal "all processes belong to otus-httpd" "$(ps -o user= -p "$(property MainPID)" --ppid "$(property MainPID)" | sort -u)" otus-httpd
    check "journal: records with fields of ours" grep -q '"SYSLOG_IDENTIFIER":"otus-httpd"' <(journalctl -u otus-httpd -o json)
    equal "no directive of the units was refused" "$(journalctl -b | grep -E 'otus-httpd\.(service|socket):[0-9]+:' |
        grep -vE "Unknown key name '($unknown)'")" ""
    equal "journal: the workers have confined themselves, said once" "$(journalctl -u otus-httpd _PID="$(workers | head -n 1)" + \
        -u otus-httpd _PID="$(workers | tail -n 1)" -o cat | grep -c "^Workers are confined: .* beneath /var/www and /var/lib/otus-httpd/acme, and neither write nor execute")" 1
    equal "the sandbox refused nothing that the server needs" "$(journalctl -u otus-httpd | grep -ciE 'not permitted|denied')" 0
    install -m 640 -g www-data /usr/share/otus-httpd/www/test.html /var/www/html/for-the-web-group.html
    install -m 600 /usr/share/otus-httpd/www/test.html /var/www/html/for-root.html
    equal "what the web group may read is served" "$(status_of $url/for-the-web-group.html)" 200
    equal "what only root may read is not" "$(status_of $url/for-root.html)" 403
    rm /var/www/html/for-*.html
}

killed_worker() {
    # Concurrent keep-alive load with a time limit.
    ab -q -k -t 8 -n 10000000 -c 20 -r -s 30 $url/test.html > /tmp/ab-kill.log 2>&1 &
    local load=$!
    python3 "$here/clients.py" kill "$(property MainPID)" > /tmp/kill.log 2>&1 || fail "the kill test ran" "$(tail -n 3 /tmp/kill.log)"
    grep -E '^(PASS|FAIL)' /tmp/kill.log
    check "kill -9: the load went on" kill -0 $load
    kill -TERM $load
    wait $load 2> /dev/null
    local pid
    pid=$(awk '/^victim/ {print $2}' /tmp/kill.log)
    check "journal: the death, its pid and signal" sh -c "journalctl -u otus-httpd -o json | python3 $here/clients.py record '$pid'"
    check "catalog: journalctl -x explains the death" sh -c "journalctl -x -u otus-httpd WORKER_PID=$pid | grep 'The process $pid, one of'"
    equal "the service did not restart" "$(property NRestarts)" 0
}

watchdog() {
    local before after hung
    before=$(property MainPID)
    hung=$(workers | head -n 1)
    kill -STOP "$hung"
    check "a hung worker: ended and replaced" wait_for 25 sh -c "! kill -0 $hung 2> /dev/null && test \$(pgrep -cx --parent $before otus-httpd) = $(nproc)"
    check "a hung worker: the journal says for how long, in fields" \
        sh -c "journalctl -u otus-httpd WORKER_PID=$hung -o json | grep -E '\"HUNG_SECONDS\":\"([5-9]|1[0-2])\"'"
    equal "a hung worker: the service is the same" "$(property MainPID) $(property NRestarts)" "$before 0"

    kill -STOP "$before"
    equal "a stopped supervisor: its workers serve" "$(status_of $url/test.html)" 200
    check "a stopped supervisor: the watchdog ends it, systemd starts another" wait_for 40 restarted "$before"
    after=$(property MainPID)
    check "journal: watchdog timeout" sh -c 'journalctl -u otus-httpd | grep -i "watchdog timeout"'
    equal "it serves" "$(status_of $url/test.html)" 200
    check "the old processes are gone" sh -c "! kill -0 $before 2> /dev/null && test \$(pgrep -cx otus-httpd) = $(($(workers | wc -l) + 1))"
    equal "no memory dump is left" "$(ls /core* /var/lib/systemd/coredump/* 2> /dev/null)" ""
    [ "$before" != "$after" ]
}

restarted() {
    local pid
    pid=$(property MainPID)
    [ "$pid" != "$1" ] && [ "$pid" != 0 ] && [ "$(property ActiveState)" = active ]
}

stop_and_start() {
    systemctl stop otus-httpd.service 2> /dev/null
    equal "stop of the service: it ended well" "$(property Result)" success
    equal "stop of the service: inactive" "$(state service)" inactive
    equal "stop of the service: no process is left" "$(pgrep -cx otus-httpd)" 0
    equal "stop of the service: the socket stays" "$(state socket)" active
    equal "the next request starts it" "$(status_of $url/test.html) $(state service)" "200 active"
    systemctl stop otus-httpd.socket otus-httpd.service
    equal "stop of both" "$(state socket) $(state service)" "inactive inactive"
    equal "stop of both: nobody listens" "$(listening_inode)" ""
    check "start of the service" systemctl start otus-httpd.service
    equal "start of the service brings the socket along" "$(state socket) $(status_of $url/test.html)" "active 200"
}

listening_inode() {
    ss --no-header --listening --tcp --numeric --extended 'sport = :80' | grep -o 'ino:[0-9]*'
}

# A download that takes longer than TimeoutStopSec=: the server extends the timeout and completes the download.
drain() {
    drop_in service Service TimeoutStopSec=2 Environment=OTUS_STOP_TIMEOUT=30
    systemctl restart otus-httpd
    truncate --size=40M /var/www/html/large.bin
    curl --silent --limit-rate 8M --output /tmp/large.bin $url/large.bin &
    local download=$!
    wait_for 10 test -s /tmp/large.bin
    local start=$SECONDS
    check "stop during a download" systemctl stop otus-httpd.service
    equal "stop during a download: it ended well" "$(property Result)" success
    check "stop during a download: it took longer than TimeoutStopSec" test $((SECONDS - start)) -gt 2
    wait $download
    equal "stop during a download: it came whole" "$? $(stat --format=%s /tmp/large.bin)" "0 $((40 * 1024 * 1024))"
    rm -r /var/www/html/large.bin /tmp/large.bin /etc/systemd/system/otus-httpd.service.d
    systemctl daemon-reload
}

# The service exits when it is idle, and its socket starts it again.
idle_exit() {
    cp /etc/default/otus-httpd /tmp/default
    echo OTUS_IDLE_EXIT=3 >> /etc/default/otus-httpd
    systemctl reset-failed
    check "idle exit: restart" systemctl restart otus-httpd
    equal "idle exit: a request" "$(status_of $url/test.html)" 200
    check "idle exit: it leaves" wait_for 10 is_inactive
    equal "idle exit: well, and the socket stays" "$(property Result) $(state socket)" "success active"
    equal "idle exit: the next request is answered" "$(status_of $url/test.html)" 200
    check "idle exit: and has started it" wait_for 5 systemctl is-active otus-httpd.service
    local before
    before=$(starts)
    python3 "$here/clients.py" pauses 3 10 > /tmp/around.log
    equal "idle exit: requests around the moment, failed" "$(cat /tmp/around.log)" "50 0"
    check "idle exit: it left in between, $(($(starts) - before)) times" test "$(starts)" -gt "$before"
    cp /tmp/default /etc/default/otus-httpd
    check "without idle exit: restart" systemctl restart otus-httpd
}

is_inactive() {
    [ "$(property ActiveState)" = inactive ]
}

starts() {
    journalctl -u otus-httpd.service | grep -cE 'Started otus-httpd(\.service| static)'
}

# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: upgrade, reload, restart and a killed supervisor while clients send requests.

# New workers replace the old ones: no client may notice it.
upgrade() {
    local before inode
    inode=$(listening_inode)
    before=$(property MainPID)
    truncate --size=28M /var/www/html/slow.bin
    open_books
    curl --silent --limit-rate 1M --output /tmp/slow.bin $url/slow.bin &
    local download=$!
    wait_for 10 test -s /tmp/slow.bin
    rm -f /tmp/upgraded
    request_often https://own.test/test.html /tmp/upgraded --cacert /tmp/own.pem --resolve own.test:443:127.0.0.1 > /tmp/https-times &
    local handshakes=$!
    under_load "upgrade" strict installed "$v2"
    touch /tmp/upgraded
    wait $handshakes
    equal "upgrade: no request over HTTPS failed" "$(cut -d ' ' -f 1 /tmp/https-times | sort -u)" 200
    echo "INFO upgrade: $(wc -l < /tmp/https-times) requests over HTTPS, each with a handshake"
    equal "upgrade: the version" "$(dpkg-query --showformat='${Version}' --show otus-httpd)" "$(dpkg-deb --field "$v2" Version)"
    equal "upgrade: the version that runs" "$(property StatusText | grep -o 'version .*')" "version $(dpkg-deb --field "$v2" Version)"
    equal "upgrade: the process is the same" "$(property MainPID)" "$before"
    equal "upgrade: the listening socket is the same" "$(listening_inode)" "$inode"
    wait $download
    equal "upgrade: a slow download came whole" "$? $(cmp /tmp/slow.bin /var/www/html/slow.bin && echo same)" "0 same"
    check "upgrade: the old workers are gone" wait_for 10 has_workers "$(nproc)"
    check_books "upgrade: access log"
    rm /var/www/html/slow.bin /tmp/slow.bin
}

# under_load NAME strict|loose COMMAND...: runs the command while ab, wrk and four more clients send requests. With loose,
# requests in flight may be lost.
under_load() {
    local name=$1 manner=$2 ab wrk clients
    shift 2
    rm -f /tmp/event /tmp/end
    ab -q -r -t 16 -n 10000000 -c 20 -s 60 $url/test.html > /tmp/ab.log 2>&1 &
    ab=$!
    # Without /etc/services, wrk does not know the port of http.
    wrk --threads 1 --connections 20 --duration 16s --timeout 60s ${url}:80/test.html > /tmp/wrk.log 2>&1 &
    wrk=$!
    python3 "$here/clients.py" around /tmp/event /tmp/end > /tmp/clients.log &
    clients=$!
    sleep 5
    touch /tmp/event
    check "$name under load" "$@"
    check "$name: the load outlasted it" kill -0 $ab $wrk
    sleep 2
    touch /tmp/end
    wait $clients
    equal "$name: the clients ended well" $? 0
    wait $ab
    equal "$name: ab ended well" $? 0
    wait $wrk
    equal "$name: wrk ended well" $? 0
    local made failed calm longest refused lost
    read -r made failed calm longest < /tmp/clients.log
    refused=$(sed -n 's/.*(Connect: \([0-9]*\),.*/\1/p' /tmp/ab.log)
    lost=$(sed -n 's/^Failed requests: *//p' /tmp/ab.log)
    echo "INFO $name: ab $(ab_counts /tmp/ab.log | cut -d ' ' -f 1) requests, wrk $(awk '/ requests in /{print $1}' /tmp/wrk.log), clients $made; 99.9 % of theirs within $calm ms before, the longest since $longest ms"
    if [ "$manner" = strict ]; then
        equal "$name: ab, failed and non-2xx" "$(ab_counts /tmp/ab.log | cut -d ' ' -f 2-)" "0 0"
        equal "$name: wrk, errors" "$(grep -E 'Socket errors|Non-2xx' /tmp/wrk.log)" ""
        equal "$name: failed requests of the clients" "$failed" 0
        # Up to a quarter of a second is allowed: the machine unpacks a package meanwhile.
        check "$name: no request took longer than three times as long" test "$longest" -le $((calm * 3 > 250 ? calm * 3 : 250))
    else
        equal "$name: ab, refused" "${refused:-0}" 0
        equal "$name: wrk, refused" "$(sed -n 's/.*Socket errors: connect \([0-9]*\),.*/\1/p' /tmp/wrk.log | grep -v '^0$')" ""
        check "$name: no more is lost than was in flight" test "${lost:-0}" -le 20 -a "$failed" -le 4
    fi
}

# Connections wait while the old server finishes requests in flight; none is refused.
restart() {
    under_load "restart" loose systemctl restart otus-httpd
    equal "restart: nothing was lost" "$(ab_counts /tmp/ab.log | cut -d ' ' -f 2-) $(cut -d ' ' -f 2 /tmp/clients.log)" "0 0 0"
    https_serves "restart"
}

reload() {
    local before
    cp /etc/default/otus-httpd /tmp/default
    before=$(property MainPID)
    echo OTUS_WORKERS=3 >> /etc/default/otus-httpd
    check "reload: a changed setting" systemctl reload otus-httpd
    check "reload: three workers, and the old ones gone" wait_for 10 has_workers 3
    equal "reload: the process is the same" "$(property MainPID) $(property NRestarts)" "$before 0"
    check "reload: the journal says so" sh -c 'journalctl -u otus-httpd | grep "Reloaded; workers: 3"'

    echo OTUS_WORKERS=none >> /etc/default/otus-httpd
    check "reload refused: systemctl fails" sh -c '! systemctl reload otus-httpd 2> /dev/null'
    check "reload refused: the status says why" wait_for 10 sh -c \
        'systemctl show --property=StatusText otus-httpd | grep "reload failed: .*OTUS_WORKERS cannot be \"none\""'
    check "reload refused: the journal says why" sh -c 'journalctl -u otus-httpd | grep "Reload failed; .*OTUS_WORKERS cannot be"'
    check "reload refused: journalctl -x explains it" sh -c 'journalctl -x -u otus-httpd | grep "Correct the errors, then: systemctl reload"'
    equal "reload refused: all goes on" "$(state service) $(property MainPID) $(workers | wc -l) $(status_of $url/test.html)" "active $before 3 200"
    cp /tmp/default /etc/default/otus-httpd
    check "reload: as before" systemctl reload otus-httpd
    check "reload: as many workers as before" wait_for 10 has_workers "$(nproc)"
    equal "reload: the status has no complaint" "$(property StatusText | grep -c refused)" 0
}

killed_supervisor() {
    local before
    before=$(property MainPID)
    under_load "kill -9 of the supervisor" loose kill -KILL "$before"
    check "kill -9 of the supervisor: systemd starts another" wait_for 10 restarted "$before"
    equal "kill -9 of the supervisor: it serves" "$(status_of $url/test.html)" 200
    https_serves "kill -9 of the supervisor"
}

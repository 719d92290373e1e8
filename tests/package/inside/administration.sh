# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: commands of an administrator, in every state of the service.

administration() {
    cp /etc/default/otus-httpd /tmp/default
    reload_in_any_state
    check_of_the_service
    settings_without_effect
    restart_beside_a_slow_download
    cp /tmp/default /etc/default/otus-httpd
    systemctl try-reload-or-restart otus-httpd
}

reload_in_any_state() {
    systemctl stop otus-httpd.service 2> /dev/null
    check "reload: nothing to do for a service that nobody has connected to" systemctl try-reload-or-restart otus-httpd
    equal "reload: it is not started for that" "$(state service)" inactive
    equal "reload: a visitor" "$(status_of $url/test.html)" 200
    local pid
    pid=$(property MainPID)
    echo OTUS_CHARSET=utf-8 >> /etc/default/otus-httpd
    # The command from the head of the file.
    check "reload: of a service that runs" sh -c "$(grep -o 'otus-httpd --check && systemctl .*' /etc/default/otus-httpd) > /dev/null"
    check "reload: the new setting" wait_for 10 sh -c "curl --silent --head $url/test.html | grep -i 'charset=utf-8'"
    equal "reload: the process is the same" "$(property MainPID)" "$pid"
    echo OTUS_WORKERS=none >> /etc/default/otus-httpd
    check "reload: a wrong setting is a failure" sh -c '! systemctl try-reload-or-restart otus-httpd 2> /dev/null'
    equal "reload: and changes nothing" "$(property MainPID) $(status_of $url/test.html)" "$pid 200"
    cp /tmp/default /etc/default/otus-httpd
}

# checked [OPTION...]: runs --check, with standard output in /tmp/check and standard error in /tmp/check.err
checked() {
    otus-httpd --check "$@" > /tmp/check 2> /tmp/check.err
}

row() {
    grep -E -- "^$1 " /tmp/check | sed -E 's/  +/ /g; s/ $//'
}

check_of_the_service() {
    local place
    check "check of the service: in order" checked
    equal "check of the service: its last line" "$(tail -n 1 /tmp/check) $(cat /tmp/check.err)" "Configuration OK (checked otus-httpd.service as user otus-httpd) "
    equal "check of the service: where it listens" "$(row ListenStream) $(grep -cE '^--(host|port)' /tmp/check)" "ListenStream [::]:80 otus-httpd.socket 0"
    equal "check of the service: its access log" "$(row --access-log)" "--access-log journal default"
    install -d -m 750 -g www-data /srv/for-the-web-group
    drop_in service Service Environment=OTUS_ROOT=/srv/for-the-web-group LimitNOFILE=300
    check "check of the service: its groups are known, and so is a drop-in" checked
    equal "check of the service: the root of a drop-in" "$(row --root)" "--root /srv/for-the-web-group environment (OTUS_ROOT)"
    check "check of the service: its limits are known" grep 'The limit of a worker is 300 descriptors' /tmp/check.err
    for place in /home/web/site /root/site /tmp/site /var/tmp/site; do
        mkdir -p $place
        chmod -R o+rx "/${place#/}"
        drop_in service Service Environment=OTUS_ROOT=$place
        check "check of the service: $place is not in order" sh -c '! otus-httpd --check > /tmp/check 2> /tmp/check.err'
        check "check of the service: $place is hidden" grep -E "$place is hidden from otus-httpd.service by (ProtectHome|PrivateTmp)=yes" /tmp/check.err
        drop_in service Service Environment=OTUS_ROOT=$place BindReadOnlyPaths=$place
        # With the path bound, the check accepts it.
        [ $place = /root/site ] || check "check of the service: $place can be shown" checked
    done
    chmod 700 /root
    rm -r /home/web /root/site /tmp/site /var/tmp/site /srv/for-the-web-group
    without_drop_ins
    mkdir -p /srv/shop
    echo OTUS_WORKERS=3 > /etc/default/otus-httpd-shop
    check "check of an instance" checked --unit otus-httpd@shop
    equal "check of an instance: its root, settings and address" "$(row --root) $(row --workers) $(row ListenStream)" \
        "--root /srv/shop default --workers 3 /etc/default/otus-httpd-shop:1 (OTUS_WORKERS) ListenStream /run/otus-httpd-shop.sock otus-httpd@shop.socket"
    rm -r /srv/shop /etc/default/otus-httpd-shop
    setpriv --reuid=nobody --regid=nogroup --clear-groups otus-httpd --check > /tmp/check
    check "check by who is not root: it says whose settings these are" grep 'To check otus-httpd.service, run otus-httpd --check as root' /tmp/check
    unshare --mount sh -c 'mount -t tmpfs tmpfs /run/systemd && otus-httpd --check' > /tmp/check
    check "check without systemd: it says what it does not see" grep 'systemd is not running, so otus-httpd.service was not checked' /tmp/check
    check "check of what is no unit" sh -c '! otus-httpd --check --unit otus-nothing 2> /tmp/check.err'
    check "check of what is no unit: it is named" grep 'systemd has no unit otus-nothing.service' /tmp/check.err
}

settings_without_effect() {
    printf '%s\n' OTUS_PORT=8000 OTUS_HOST=127.0.0.1 OTUS_USER=www-data >> /etc/default/otus-httpd
    check "settings without effect: in order" checked
    equal "settings without effect: each is a warning of the check" "$(grep -c 'has no effect' /tmp/check.err) $(grep -c 8000 /tmp/check)" "3 0"
    equal "settings without effect: it serves" "$(status_of $url/test.html)" 200
    check "settings without effect: reload" systemctl try-reload-or-restart otus-httpd
    check "settings without effect: each is a warning in the journal" wait_for 10 warned_of 'OTUS_PORT' 'OTUS_HOST' 'OTUS_USER=www-data'
    cp /tmp/default /etc/default/otus-httpd
    # The remedy from the warning.
    drop_in socket Socket ListenStream= ListenStream=8000
    systemctl restart otus-httpd.socket
    equal "another port, as the warning says" "$(status_of http://127.0.0.1:8000/test.html)" 200
    check "another port: the check knows" checked
    equal "another port: the check says so" "$(row ListenStream)" "ListenStream [::]:8000 otus-httpd.socket"
    without_drop_ins
}

warned_of() {
    journalctl --sync
    journalctl -u otus-httpd --since -60s -p warning -o cat > /tmp/warnings
    local word
    for word; do
        grep -E "$word.* has no effect" /tmp/warnings || return 1
    done
}

# A new client waits for a slow download no longer than the stop timeout of 4 seconds and a start; at a reload, it does not wait.
restart_beside_a_slow_download() {
    truncate --size=40M /var/www/html/large.bin
    local how most turn waited result
    for how in "restart otus-httpd.service" "restart otus-httpd.socket" "reload otus-httpd.service"; do
        most=5000
        [ "${how%% *}" = restart ] || most=2500
        # A busy machine may need longer for a start: the best of three counts.
        for turn in 1 2 3; do
            wait_of_a_new_client "$how"
            echo "INFO $how beside a slow download: a new client has waited $waited ms, status $result"
            [ "$waited" -gt $most ] || break
        done
        check "$how beside a slow download: a new client is served within $most ms" test "$waited" -le $most -a "$result" = 200
    done
    rm /var/www/html/large.bin
}

# wait_of_a_new_client COMMAND...: sets waited, in milliseconds, and result, the status of the response.
wait_of_a_new_client() {
    local download change begin
    forget_starts
    equal "$1 beside a slow download: it serves" "$(status_of $url/test.html)" 200
    curl --silent --limit-rate 1M --output /tmp/large.bin $url/large.bin &
    download=$!
    wait_for 10 test -s /tmp/large.bin
    begin=$(date +%s%N)
    # shellcheck disable=SC2086
    systemctl $1 &
    change=$!
    wait_for 10 stopping_or_new || true
    # A restarted socket resets the connections in its queue: the client tries again at once, as browsers do.
    wait_for 60 answers $url/test.html
    result=$(status_of $url/test.html)
    waited=$((($(date +%s%N) - begin) / 1000000))
    wait $change
    kill $download 2> /dev/null
    wait $download 2> /dev/null
    rm -f /tmp/large.bin
}

# Succeeds when the service has begun to stop or to reload.
stopping_or_new() {
    [ "$(property ActiveState)" != active ] || property StatusText | grep -E 'Draining|Reloading|old workers'
}

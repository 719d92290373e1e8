# shellcheck shell=bash
# To be sourced by life-cycle.sh: every example of otus-httpd(8) and otus-httpd(5), unchanged, and ten times if it restarts a unit.
# An example that no test runs is a failure, and so is a test whose example does not exist.
# Those of otus-httpd-site(5) are run by tests/behaviour/manual.rs.

examples=/tmp/examples

# example HEADING WORDS: prints the example under that heading that has the words, and records that it was used.
example() {
    local found=() number
    for number in $(cd $examples && grep --fixed-strings --line-regexp --files-with-matches -- "$1" ./*.heading | sed 's/\.heading$//'); do
        ! grep --quiet --fixed-strings -- "$2" "$examples/$number.text" || found+=("$number")
    done
    if [ ${#found[@]} != 1 ]; then
        fail "manual: one example under '$1' with '$2'" "there are ${#found[@]}" >&2
        echo "FAIL" > $examples/lost
        return 1
    fi
    touch "$examples/${found[0]}.run"
    cat "$examples/${found[0]}.text"
}

# run_example HEADING WORDS: runs the commands of that example, as root.
run_example() {
    example "$1" "$2" > /tmp/commands && bash -eo pipefail /tmp/commands
}

# edit_example COMMAND TEXT...: runs "systemctl edit" on a terminal, with an editor that enters the texts for its units.
edit_example() {
    local command=$1 number=0
    shift
    rm -f /tmp/edit-*
    for text; do
        number=$((number + 1))
        printf '%s\n' "$text" > /tmp/edit-$number
    done
    # An argument that begins with a plus is a line number.
    printf '%s\n' '#!/bin/bash' 'number=0' 'for file; do' '[[ $file != +* ]] || continue' 'number=$((number + 1))' \
        'cat /tmp/edit-$number > "$file"' 'done' > /tmp/editor
    chmod 755 /tmp/editor
    SYSTEMD_EDITOR=/tmp/editor script --quiet --return --command "$command" /dev/null < /dev/null
}

# drop_in_example HEADING WORDS: enters the example for its unit, as described in DROP-INS.
drop_in_example() {
    local text unit=otus-httpd.service
    text=$(example "$1" "$2") || return 1
    [ "${text%%$'\n'*}" != "[Socket]" ] || unit=otus-httpd.socket
    edit_example "systemctl edit $unit" "$text"
}

# ten_times NAME COMMAND...
ten_times() {
    times 10 "$@"
}

# times N NAME COMMAND...
times() {
    local turns=$1 name=$2 turn well=0
    shift 2
    for ((turn = 1; turn <= turns; turn++)); do
        forget_starts
        if "$@" > /tmp/turn 2>&1; then
            well=$((well + 1))
        else
            echo "INFO manual: $name, turn $turn: $(tail -n 3 /tmp/turn | paste -sd ' ')"
        fi
    done
    equal "manual, $turns times: $name" $well "$turns"
}

answers() {
    [ "$(status_of "$@")" = 200 ]
}

restarted_socket() {
    systemctl restart otus-httpd.socket && answers $url/test.html
}

every_example() {
    rm -rf $examples
    zcat /usr/share/man/man8/otus-httpd.8.gz /usr/share/man/man5/otus-httpd.5.gz | python3 "$here/examples.py" $examples
    systemctl stop otus-httpd.socket otus-httpd.service
    systemctl start otus-httpd.socket
    journalctl --sync
    journalctl --cursor-file=/tmp/cursor-examples --quiet > /dev/null
    status_of $url/test.html > /dev/null
    status_of $url/nothing > /dev/null

    examples_of_commands
    examples_of_settings
    examples_of_drop_ins
    examples_of_instances
    examples_of_metrics
    with_rsyslog
    check "manual: a certificate of certbot" run_example CERTIFICATES letsencrypt
    rm /etc/otus-httpd/certificates/example.org
    check "manual: messages of the key process" run_example CERTIFICATES "-u otus-httpd-keys"
    local words
    # Examples that need names in the DNS of the internet, or the ports of another server. https.sh gets and renews certificates.
    example HTTPS/Renewal "certbot renew --dry-run" > /dev/null
    example HTTPS/Renewal "otus-httpd https status" > /dev/null
    for words in --manual --webroot --https-port; do
        example "HTTPS/Wildcards, and HTTPS without these commands" "$words" > /dev/null
    done
    # The document root is a link to the release before.
    mkdir -p /srv/releases/{2,3}
    ln -s /srv/releases/2 /srv/site
    echo "<a href=/>home</a>" > /srv/releases/3/index.html
    check "manual: a site is published after a check" run_example "CHECK OF A SITE" check-site
    equal "manual: the site that was checked" "$(readlink /srv/site): $(ls /srv/site/)" "/srv/releases/3: index.html"
    rm -r /srv/site /srv/releases
    # Examples of the server's output.
    example "CHECK OF A SITE" about.html:12 > /dev/null
    example "ACCESS LOG/Record format" '"GET /x HTTP/1.1" 200' > /dev/null
    example STATUS "Serving: workers" > /dev/null
    # Examples that other files of this test have run are recorded as well.
    local number left=
    for number in $(cd $examples && ls ./*.text | sed 's/\.text$//'); do
        [ -e "$examples/$number.run" ] || left+="$(cat "$examples/$number.heading"): $(head -n 1 "$examples/$number.text"); "
    done
    equal "manual: examples that no test runs" "$left" ""
    check "manual: each example that a test runs is there" test ! -e $examples/lost
    journalctl --sync
    equal "manual: systemd complains of nothing in the examples" \
        "$(journalctl --cursor-file=/tmp/cursor-examples -o cat | grep -E 'TCP_NODELAY|TCP_DEFER_ACCEPT|Unknown (key|lvalue|section)|Failed to (create|parse)' |
            grep -vE "Unknown key name '($unknown)'" | sort -u)" ""
}

examples_of_commands() {
    check "manual: --check" run_example "CONFIGURATION CHECK" "otus-httpd --check"
    # One of them follows the log until it is terminated.
    example "ACCESS LOG/Reading the log" HTTP_STATUS=404 > /tmp/commands
    local command
    while read -r command; do
        timeout 2 bash -c "$command" > /dev/null 2> /tmp/output
        equal "manual: $command" "$(grep -v 'No entries' /tmp/output)" ""
    done < /tmp/commands
    check "manual: messages without visitors" run_example "ACCESS LOG/Reading the log" "otus-httpd SYSLOG_FACILITY=3"
    check "manual: status and messages" run_example EXAMPLES "systemctl status otus-httpd"
    check "manual: workers that died" run_example EXAMPLES "-p warning"
    (cd /tmp && run_example "ACCESS LOG/Reading the log" goaccess > /tmp/output 2>&1)
    check "manual: goaccess wrote its report" test -s /tmp/report.html
    rm -f /tmp/report.html
    cp -r /etc/fail2ban /tmp/fail2ban
    # Debian's default jail may need a file that does not exist.
    rm /etc/fail2ban/jail.d/defaults-debian.conf
    ten_times "fail2ban" fail2ban_starts
    systemctl stop fail2ban
    rm -r /etc/fail2ban /var/lib/fail2ban/*
    mv /tmp/fail2ban /etc/fail2ban

    example EXAMPLES "otus-httpd -r ." > /tmp/commands
    (cd /usr/share/otus-httpd/www && exec setpriv --reuid=nobody --regid=nogroup --clear-groups bash -c "exec $(cat /tmp/commands)") > /tmp/output 2>&1 &
    local server=$!
    check "manual: the current directory on port 8080" wait_for 10 answers http://127.0.0.1:8080/test.html
    kill $server
    wait $server

    cp /etc/systemd/journald.conf /tmp/journald.conf
    example "ACCESS LOG/Journal limits" RateLimit > /etc/systemd/journald.conf
    check "manual: journald without a limit" systemctl restart systemd-journald
    cp /tmp/journald.conf /etc/systemd/journald.conf
    systemctl restart systemd-journald
}

# Waits until the jail exists, because fail2ban cannot be stopped before that.
fail2ban_starts() {
    run_example "ACCESS LOG/Reading the log" fail2ban && wait_for 20 fail2ban-client status otus-httpd
}

# The examples of settings, each as the settings file, with the command that validates and applies it.
examples_of_settings() {
    local words
    cp /etc/default/otus-httpd /tmp/settings
    mkdir -p /srv/site
    for words in OTUS_LISTING=1 OTUS_LOG_QUERY=no; do
        example EXAMPLES $words > /etc/default/otus-httpd
        check "manual: settings with $words" quietly run_example DESCRIPTION try-reload-or-restart
        equal "manual: settings with $words are in effect" "$(otus-httpd --check | grep -c '/etc/default/otus-httpd:[0-9]')" "$(wc -l < /etc/default/otus-httpd)"
    done
    cp /tmp/settings /etc/default/otus-httpd
    systemctl try-reload-or-restart otus-httpd
    rmdir /srv/site
}

restarted_service() {
    systemctl restart otus-httpd && answers "$@"
}

examples_of_drop_ins() {
    mkdir -p /home/web
    cp -R /usr/share/otus-httpd/www /home/web/site
    echo home > /home/web/site/home.txt
    check "manual: systemctl edit, a site in /home" drop_in_example "DROP-INS/A document root under /home" ProtectHome
    ten_times "a site in /home" restarted_service $url/home.txt
    without_drop_ins

    adduser --quiet --system --group --no-create-home --home /nonexistent web
    check "manual: systemctl edit, another user" drop_in_example "DROP-INS/Another user" User=web
    ten_times "another user" restarted_service $url/test.html
    equal "manual: another user" "$(ps -o user= -p "$(property MainPID)")" web
    without_drop_ins
    userdel web
    rm -rf /home/web

    check "manual: systemctl edit, another port" drop_in_example "DROP-INS/Another port" ListenStream=8000
    ten_times "another port" another_port
    without_drop_ins
    check "manual: systemctl edit, more sockets" drop_in_example "DROP-INS/More sockets" 127.0.0.1:8000
    ten_times "more sockets" more_sockets
    without_drop_ins

    example "DROP-INS/More sockets" "[Install]" > /etc/systemd/system/otus-httpd-front.socket
    systemctl daemon-reload
    ten_times "a unix socket" a_unix_socket
    equal "manual: a unix socket, owner and mode" "$(stat --format='%U %G %a' /run/otus-httpd.sock)" "www-data www-data 660"
    equal "manual: a unix socket, who gets in" "$(over_unix_socket www-data) $(over_unix_socket nobody)" "200 000"
    systemctl disable --quiet otus-httpd-front.socket
    systemctl stop otus-httpd.socket otus-httpd.service
    check "manual: a unix socket goes with the others" test ! -e /run/otus-httpd.sock
    rm /etc/systemd/system/otus-httpd-front.socket
    without_drop_ins

    check "manual: systemctl edit, a journal of its own" drop_in_example "DROP-INS/A separate journal" LogNamespace
    example "DROP-INS/A separate journal" SystemMaxUse > /etc/systemd/journald@otus-httpd.conf
    ten_times "a journal of its own" restarted_service $url/test.html
    check "manual: a journal of its own has the records" wait_for 10 \
        sh -c 'journalctl --namespace=otus-httpd -o cat TARGET=access | grep -q test.html'
    without_drop_ins
    rm /etc/systemd/journald@otus-httpd.conf
    systemctl stop systemd-journald@otus-httpd.socket systemd-journald-varlink@otus-httpd.socket systemd-journald@otus-httpd.service 2> /dev/null
    rm -rf /var/log/journal/*.otus-httpd /run/log/journal/*.otus-httpd
}

another_port() {
    systemctl restart otus-httpd.socket && answers http://127.0.0.1:8000/test.html && [ "$(status_of $url/test.html)" = 000 ]
}

more_sockets() {
    restarted_socket && answers http://127.0.0.1:8000/test.html
}

a_unix_socket() {
    run_example "DROP-INS/More sockets" otus-httpd-front && answers $url/test.html && [ "$(over_unix_socket www-data)" = 200 ]
}

examples_of_instances() {
    mkdir -p /srv/shop
    echo "the shop" > /srv/shop/index.html
    check "manual: an instance" quietly run_example EXAMPLES "enable --now otus-httpd@shop.socket"
    equal "manual: an instance serves" "$(shop)" "the shop"
    # While systemd changes the group of one socket, another must not lose its port.
    ten_times "the site and an instance at once" site_and_instance
    check "manual: systemctl edit, an instance on a port" edit_example "$(example EXAMPLES "systemctl edit otus-httpd@shop")" \
        "$(example EXAMPLES ListenStream=8081)" "$(example EXAMPLES CPUQuota)"
    ten_times "an instance on a port" instance_on_a_port
    equal "manual: an instance with a quota" "$(property CPUQuotaPerSecUSec otus-httpd@shop.service)" 250ms
    systemctl disable --now --quiet otus-httpd@shop.socket
    systemctl stop otus-httpd@shop.service
    rm -r /etc/systemd/system/otus-httpd@shop.{socket,service}.d /srv/shop
    systemctl daemon-reload
}

site_and_instance() {
    systemctl restart otus-httpd.socket otus-httpd@shop.socket && answers $url/test.html && [ "$(shop)" = "the shop" ]
}

instance_on_a_port() {
    run_example EXAMPLES "systemctl restart otus-httpd@shop.socket" && answers http://127.0.0.1:8081/
}

examples_of_metrics() {
    ten_times "metrics" metrics_on_a_port
    # "enable --now" fails while the service runs, and a restart of the socket works, as the manual describes.
    systemctl stop otus-httpd-metrics.socket
    equal "metrics: enable --now beside a running service fails, and says how to" \
        "$(systemctl enable --now --quiet otus-httpd-metrics.socket 2> /dev/null && echo 0) $(systemctl status otus-httpd-metrics.socket |
            grep -o 'systemctl restart otus-httpd$' | sort -u)" " systemctl restart otus-httpd"
    equal "metrics: the site does not notice" "$(status_of $url/test.html)" 200
    check "manual: systemctl edit, metrics on a unix socket" edit_example "$(example EXAMPLES "edit otus-httpd-metrics")" \
        "$(example EXAMPLES "SocketGroup=adm")"
    # If the sockets were opened concurrently, three of 40 restarts would fail.
    times 40 "metrics on a unix socket" metrics_on_a_unix_socket
    equal "manual: metrics on a unix socket, owner and mode" "$(stat --format='%U %G %a' /run/otus-httpd-metrics.sock)" "root adm 660"
    systemctl stop otus-httpd.socket otus-httpd.service
    systemctl disable --quiet otus-httpd-metrics.socket
    rm -r /etc/systemd/system/otus-httpd-metrics.socket.d
    systemctl daemon-reload
    systemctl start otus-httpd.socket
}

# The site's port stays open.
metrics_on_a_port() {
    local before
    systemctl stop otus-httpd-metrics.socket
    before=$(listening_inode)
    run_example EXAMPLES 127.0.0.1:9180 > /tmp/metrics && grep '^otus_workers ' /tmp/metrics && answers $url/test.html &&
        [ "$(listening_inode)" = "$before" ]
}

metrics_on_a_unix_socket() {
    run_example EXAMPLES "otus-httpd-metrics.sock http" > /tmp/metrics && grep '^otus_workers ' /tmp/metrics && answers $url/test.html
}

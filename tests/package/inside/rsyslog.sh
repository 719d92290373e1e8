# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: rsyslog beside the journal, with the example that excludes the access log.

copies=/var/log/syslog

# In the other parts of this test, it would write a million records.
without_rsyslog() {
    systemctl mask --quiet --now syslog.socket rsyslog.service 2> /dev/null
    rm -f $copies
}

with_rsyslog() {
    systemctl unmask --quiet rsyslog.service syslog.socket
    # Not every release enables the forwarding from journald by default.
    mkdir -p /run/systemd/journald.conf.d
    printf '%s\n' '[Journal]' ForwardToSyslog=yes > /run/systemd/journald.conf.d/rsyslog.conf
    systemctl restart systemd-journald
    check "rsyslog: it starts" systemctl start rsyslog
    equal "rsyslog: a visitor" "$(status_of "$url/test.html?before-the-example")" 200
    check "rsyslog: without the example it copies the request" wait_for 10 grep before-the-example $copies
    check "rsyslog: the example" run_example "ACCESS LOG/rsyslog" 10-otus-httpd.conf
    equal "rsyslog: it takes the example" "$(rsyslogd -N 1 2>&1 | grep -i error)" ""
    equal "rsyslog: another visitor" "$(status_of "$url/test.html?with-the-example")" 200
    check "rsyslog: the journal has the request" wait_for 10 sh -c "journalctl -u otus-httpd -o cat TARGET=access | grep with-the-example"
    check "rsyslog: reload" systemctl try-reload-or-restart otus-httpd
    check "rsyslog: the server's own messages are copied" wait_for 10 grep 'otus-httpd.*Reloaded; ' $copies
    logger --tag somebody after-the-example
    check "rsyslog: those of others are" wait_for 10 grep after-the-example $copies
    equal "rsyslog: with the example it does not copy the request" "$(grep -c with-the-example $copies)" 0
    rm /etc/rsyslog.d/10-otus-httpd.conf /run/systemd/journald.conf.d/rsyslog.conf
    without_rsyslog
    systemctl restart systemd-journald
}

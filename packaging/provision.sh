#!/bin/bash
# Installs the package on a fresh machine, starts its socket, and measures it with ab. Fails if a request fails.
#   provision.sh FILE.deb      as root, on Debian or Ubuntu with systemd 229 or later
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

fail() {
    echo "provision.sh: $*" >&2
    exit 1
}

[ -f "${1:-}" ] || fail "the package file is missing from the command line, such as target/debian/otus-httpd_0.1.0_amd64.deb."
[ "$(id -u)" = 0 ] || fail "root privileges are required."
deb=$(readlink -f "$1")

# Retries for up to five minutes while another apt runs, such as the automatic updates of a machine that has just booted.
patiently() {
    local deadline=$((SECONDS + 300))
    until "$@"; do
        if [ $SECONDS -ge $deadline ] || ! pgrep -x 'apt|apt-get|dpkg|unattended-upgr' > /dev/null; then
            fail "'$*' failed."
        fi
        sleep 5
    done
}

if ! command -v ab > /dev/null; then
    patiently apt-get -qq update
    patiently apt-get -qq --yes install apache2-utils
fi
patiently apt-get -qq --yes install "$deb"
systemctl start otus-httpd.socket
systemctl is-active --quiet otus-httpd.service && systemctl restart otus-httpd.service

# ab closes 50,000 connections within a minute. A kernel with little memory keeps only some thousand of them in TIME_WAIT. It
# answers a late packet of another one with a reset, which ab does not count, so that ab waits at its end until it times out.
closed=net.ipv4.tcp_max_tw_buckets
before=$(sysctl -n $closed)
if [ "$before" -lt 65536 ] && sysctl -qw $closed=65536; then
    trap 'sysctl -qw $closed="$before"' EXIT
fi

report=$(ab -q -n 50000 -c 100 -r -s 60 http://127.0.0.1/test.html) || fail "ab did not finish. See: journalctl -u otus-httpd"
echo "$report"
grep -Eq '^Complete requests: +50000$' <<< "$report" || fail "not all of the 50,000 requests were completed."
grep -Eq '^Failed requests: +0$' <<< "$report" || fail "some requests failed."
! grep -q '^Non-2xx responses' <<< "$report" || fail "some responses were not 200. Check that /var/www/html/test.html exists."
systemctl is-active --quiet otus-httpd.service || fail "the service is not active after the requests. See: systemctl status otus-httpd"
echo "provision.sh: 50,000 requests, none failed."

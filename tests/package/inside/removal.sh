# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: removal, purge and installation afterwards.

# Prints everything that a package could leave behind. Not listed: logs, caches, the databases of dpkg, apt and fail2ban, what
# certbot has, the backups of /etc/passwd and similar files, and this test.
snapshot() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /test -o -path /var/log \
        -o -path /var/cache -o -path /etc/letsencrypt -o -path /var/lib/letsencrypt -o -path /var/lib/fail2ban -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd \) -prune \
        -o -name '*-' -path '/etc/*' -o -path /etc/.pwd.lock \
        -o -printf '%y %m %u %g %p %l\n' | sort
    find /var/lib/systemd /etc/letsencrypt -name '*otus*' 2> /dev/null
    find /etc -path /etc/letsencrypt -prune -o -type f ! -name '*-' ! -name .pwd.lock -exec sha256sum {} + | sort
    getent passwd
    getent group
}

removal() {
    check "remove" quietly apt-get remove --yes otus-httpd
    equal "remove: nobody listens, no process" "$(listening_inode)$(pgrep -x otus-httpd)$(ls /run/otus-httpd* 2> /dev/null)" ""
    check "remove: settings stay" test -e /etc/default/otus-httpd
    check "remove: the document root stays" test -e /var/www/html/test.html
    check "install after remove" installed "$v1"
    equal "install after remove: socket" "$(systemctl is-enabled otus-httpd.socket) $(state socket)" "enabled active"
    https_serves "install after remove"
    equal "install after remove: instances" "$(systemctl is-active otus-httpd@shop.socket otus-httpd@blog.socket | paste -sd ' ') $(shop)" \
        "active active the shop"
    rm -r /srv/shop /srv/blog
    purged "an untouched document root"
    check "purge: an untouched document root goes" test ! -e /var/www

    installed "$v1"
    equal "install after purge: it serves" "$(status_of $url/test.html)" 200
    echo mine > /var/www/html/mine.txt
    purge
    equal "purge: a document root with a file more stays" "$(cat /var/www/html/mine.txt)" mine
    rm -rf /var/www
    unchanged "a document root with a file more"

    installed "$v1"
    echo changed > /var/www/html/index.html
    purge
    equal "purge: a document root with a changed file stays" "$(cat /var/www/html/index.html)" changed
    rm -rf /var/www
    unchanged "a document root with a changed file"

    mkdir -p /var/www/html
    echo "the administrator's" > /var/www/html/index.html
    touch --date=2001-02-03 /var/www/html/index.html /var/www/html
    snapshot > /tmp/before-own
    installed "$v1"
    equal "an existing document root is served" "$(curl --silent $url/)" "the administrator's"
    equal "an existing document root gets no page of ours" "$(status_of $url/test.html)" 404
    purge
    equal "purge: an existing document root is as it was" "$(snapshot | diff /tmp/before-own -)" ""
    equal "purge: an existing document root keeps its times" "$(find /var/www/html -newermt 2001-02-04)" ""
    rm -rf /var/www

    # An upgrade keeps the administrator's choice.
    installed "$v1"
    systemctl stop otus-httpd.socket
    systemctl disable --quiet otus-httpd.service
    equal "disable of the service: the socket is disabled" "$(systemctl is-enabled otus-httpd.socket)" disabled
    systemctl enable --quiet otus-httpd.service
    equal "enable of the service: the socket is enabled" "$(systemctl is-enabled otus-httpd.socket)" enabled
    systemctl disable --now --quiet otus-httpd.socket
    installed "$v2"
    equal "upgrade: a disabled socket stays disabled" "$(systemctl is-enabled otus-httpd.socket)" disabled
    purged "a disabled socket"
    accounts
    stopped
    old_helper
    equal "no unit failed" "$(systemctl --failed --no-legend)" ""
}

purge() {
    quietly apt-get purge --yes otus-httpd
}

purged() {
    check "purge: $1" purge
    equal "purge: $1: nothing to complain about in the output" "$(complaints)" ""
    unchanged "$1"
}

unchanged() {
    equal "purge: $1: nothing is left behind" "$(snapshot | diff /tmp/before -)$(journalctl --list-catalog | grep otus)" ""
}

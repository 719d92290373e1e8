# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: valid and invalid settings files, and --check.

settings() {
    cp /etc/default/otus-httpd /tmp/default
    echo OTUS_WORKERS=3 >> /etc/default/otus-httpd
    check "OTUS_WORKERS=3: restart" systemctl restart otus-httpd
    check "OTUS_WORKERS=3: three workers" wait_for 5 has_workers 3

    rm /etc/default/otus-httpd
    forget_starts
    check "no settings file: restart" systemctl restart otus-httpd
    check "no settings file: as many workers as processors" wait_for 5 has_workers "$(nproc)"
    cp /tmp/default /etc/default/otus-httpd
    drop_in service Service Environment=OTUS_WORKERS=4
    echo OTUS_WORKERS=3 >> /etc/default/otus-httpd
    check "the environment counts before the file: restart" systemctl restart otus-httpd
    check "the environment counts before the file" wait_for 5 has_workers 4
    rm -r /etc/systemd/system/otus-httpd.service.d
    systemctl daemon-reload

    refused "a bad value" OTUS_WORKERS=none "/etc/default/otus-httpd line $(($(wc -l < /tmp/default) + 1)): OTUS_WORKERS" 2
    cp /tmp/default /etc/default/otus-httpd
    check "with good settings again: restart" systemctl restart otus-httpd
    equal "with good settings again: it serves" "$(state socket) $(status_of $url/test.html)" "active 200"

    # Connections that arrive while a setting is invalid: systemd retries, and they are served once the setting is corrected.
    echo OTUS_WORKERS=none >> /etc/default/otus-httpd
    systemctl restart otus-httpd 2> /dev/null
    equal "wrong settings, with clients: no answer" "$(status_of $url/test.html)" 000
    check "wrong settings, with clients: systemd has tried more often than it would by default" wait_for 60 has_restarted 6
    equal "wrong settings, with clients: the socket is open" "$(state socket)" active
    curl --silent --max-time 30 --output /dev/null --write-out '%{http_code}' $url/test.html > /tmp/waiting &
    local waiting=$!
    cp /tmp/default /etc/default/otus-httpd
    wait $waiting
    equal "wrong settings, with clients: who has waited is served" "$(cat /tmp/waiting)" 200
    equal "wrong settings, with clients: it serves" "$(state socket) $(status_of $url/test.html)" "active 200"

    # The document root does not exist when the first connection arrives (a deployment by rm and mv, a late mount).
    systemctl stop otus-httpd.service 2> /dev/null
    mv /var/www/html /var/www/away
    equal "no document root: 503" "$(status_of $url/test.html) $(status_of $url/) $(status_of $url/none)" "503 503 503"
    equal "no document root: socket and service" "$(state socket) $(state service)" "active active"
    check "no document root: the status says so" wait_for 10 sh -c 'systemctl status otus-httpd | grep "DOCUMENT ROOT MISSING"'
    mv /var/www/away /var/www/html
    check "no document root: it is seen" wait_for 2 answers $url/test.html
    check "no document root: the status is well again" wait_for 10 sh -c '! systemctl status otus-httpd | grep "DOCUMENT ROOT MISSING"'
}

# A document root that is a mount, and a mount below it, as in the manual: how both are mounted and unmounted.
mounts() {
    mkdir -p /srv/mounted /var/www/html/below
    mount -t tmpfs tmpfs /var/www/html/below
    echo below > /var/www/html/below/file.txt
    truncate --size=300K /var/www/html/below/file.bin
    equal "a mount below the document root: it is served" "$(status_of $url/below/file.txt) $(status_of $url/below/file.bin)" "200 200"
    check "a mount below the document root: it can be unmounted while the service runs" wait_for 10 umount /var/www/html/below
    rmdir /var/www/html/below

    drop_in service Service Environment=OTUS_ROOT=/srv/mounted
    systemctl restart otus-httpd
    equal "a late mount: not found before" "$(status_of $url/file.txt)" 404
    mount_document_root
    check "a late mount: it is served without a reload" wait_for 10 answers $url/file.txt
    check "a mounted document root: it cannot be unmounted while the service runs" sh -c '! umount /srv/mounted 2> /dev/null'
    check "a mounted document root: umount --lazy" umount --lazy /srv/mounted
    check "a mounted document root: after umount --lazy, the mount point is served" wait_for 10 has_status 404 $url/file.txt
    mount_document_root
    check "a mounted document root: mounted again" wait_for 10 answers $url/file.txt
    systemctl stop otus-httpd.socket otus-httpd.service
    check "a mounted document root: unmounted after a stop" umount /srv/mounted
    without_drop_ins
    rmdir /srv/mounted
}

mount_document_root() {
    mount -t tmpfs tmpfs /srv/mounted
    chmod 755 /srv/mounted
    echo mounted > /srv/mounted/file.txt
}

# has_status STATUS URL
has_status() {
    [ "$(status_of "$2")" = "$1" ]
}

# refused NAME SETTING NAMED EXIT_STATUS: the start must fail once, with one sentence that names NAMED.
refused() {
    { cat /tmp/default && echo "$2"; } > /etc/default/otus-httpd
    systemctl stop otus-httpd.service 2> /dev/null
    forget_starts
    journalctl --sync
    journalctl --cursor-file=/tmp/cursor --quiet > /dev/null
    check "$1: the start fails" sh -c '! systemctl start otus-httpd 2> /dev/null'
    equal "$1: systemd is to try again, and the socket is open" "$(state service) $(state socket)" "activating active"
    equal "$1: exit status" "$(property ExecMainStatus)" "$4"
    systemctl stop otus-httpd.service 2> /dev/null
    journalctl --sync
    journalctl --cursor-file=/tmp/cursor -u otus-httpd -o json > /tmp/refused.json
    check "$1: one sentence" sh -c "python3 $here/clients.py sentence < /tmp/refused.json > /tmp/sentence"
    check "$1: it names $3" grep --fixed-strings -- "$3" /tmp/sentence
    echo "INFO $(cat /tmp/sentence)"
}

# has_restarted COUNT: succeeds if systemd has restarted the service that often; systemd before 235 does not count.
has_restarted() {
    [ "$(systemctl show --property=NRestarts otus-httpd.service | cut -d= -f2)" -ge "$1" ]
}

checking() {
    local file=/tmp/checked-settings
    # Lines that systemd and the server must read in the same way.
    cat > $file << 'END'
# a comment \
; another
 OTUS_CHARSET = "utf-8"

OTUS_HOST='127.0.0.1' ''
OTUS_ROOT="/var/www/\
"html/
OTUS_MIME=a=text/a,\
b=text/b
OTUS_MIME_TYPES=/tmp/"a \"b" \$c #\ \'
OTUS_LISTING="y""es"
OTUS_MIN_RATE="1""0"0
OTUS_WORKERS=7
OTUS_WORKERS=3
END
    touch "/tmp/\"a \"b\" \$c # '"
    systemd-run --quiet --wait --pipe --property=EnvironmentFile=$file otus-httpd --check 2> /tmp/check-1.err |
        sed -E 's/ +(default|environment) .*//; s/ +default$//' > /tmp/check-1
    otus-httpd --settings $file --check 2> /tmp/check-2.err | sed -E "s| +$file:.*||; s/ +default$//" > /tmp/check-2
    equal "check: a settings file says what it says to systemd" "$(diff <(grep -v '^--settings' /tmp/check-1) <(grep -v '^--settings' /tmp/check-2))" ""
    equal "check: it says nothing wrong" "$(grep -cE '^--workers +3$|^Configuration OK' /tmp/check-2) $(cat /tmp/check-1.err /tmp/check-2.err)" "2 "
    rm /tmp/*\'

    # In the sandbox, as the service's user.
    journalctl --sync
    journalctl --cursor-file=/tmp/cursor --quiet > /dev/null
    drop_in service Service "ExecStartPre=/usr/sbin/otus-httpd --check"
    check "check: in the service's sandbox" systemctl restart otus-httpd
    journalctl --sync
    check "check: as the service's user" grep 'Configuration OK (checked as user otus-httpd)$' <(journalctl --cursor-file=/tmp/cursor -u otus-httpd)
    echo OTUS_ROOT=/home > /etc/default/otus-httpd
    check "check: it sees what the sandbox hides" sh -c '! systemctl restart otus-httpd 2> /dev/null'
    journalctl --sync
    check "check: and says so" grep 'The document root /home' <(journalctl --cursor-file=/tmp/cursor -u otus-httpd)
    rm -r /etc/systemd/system/otus-httpd.service.d
    systemctl daemon-reload
    cp /tmp/default /etc/default/otus-httpd
    systemctl reset-failed otus-httpd.service otus-httpd.socket
    systemctl restart otus-httpd
    # The command of the manual.
    equal "check: by hand" "$(otus-httpd --check | tail -n 1)" "Configuration OK (checked otus-httpd.service as user otus-httpd)"
}

# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: the drop-ins of the manual.

# The drop-ins of the manual, unchanged.
manual() {
    manual_drop_in socket "Another port"
    systemctl restart otus-httpd.socket
    equal "another port" "$(status_of http://127.0.0.1:8000/test.html)" 200
    equal "another port: not the old one" "$(status_of $url/test.html)" 000
    without_drop_ins

    drop_in socket Socket ListenStream= "ListenStream=[::]:8000" BindIPv6Only=ipv6-only
    systemctl restart otus-httpd.socket
    equal "IPv6 alone" "$(status_of "http://[::1]:8000/test.html") $(status_of http://127.0.0.1:8000/test.html)" "200 000"
    drop_in socket Socket ListenStream= ListenStream=0.0.0.0:8000
    systemctl restart otus-httpd.socket
    equal "IPv4 alone" "$(status_of "http://[::1]:8000/test.html") $(status_of http://127.0.0.1:8000/test.html)" "000 200"
    without_drop_ins

    manual_drop_in socket "More sockets"
    systemctl restart otus-httpd.socket
    equal "more sockets: a second address" "$(status_of http://127.0.0.1:8000/test.html)" 200
    equal "more sockets: the first one" "$(status_of $url/test.html)" 200
    without_drop_ins

    mkdir -p /home/web
    cp -R /usr/share/otus-httpd/www /home/web/site
    echo home > /home/web/site/home.txt
    equal "a site in /home: not there before" "$(status_of $url/home.txt)" 404
    manual_drop_in service "A document root under /home"
    check "a site in /home: restart" systemctl restart otus-httpd
    equal "a site in /home" "$(curl --silent $url/home.txt)" home
    without_drop_ins

    adduser --quiet --system --group --no-create-home --home /nonexistent web
    install -m 600 -o web /usr/share/otus-httpd/www/test.html /var/www/html/for-web.html
    install -m 640 -g www-data /usr/share/otus-httpd/www/test.html /var/www/html/for-the-web-group.html
    manual_drop_in service "Another user"
    check "another user: restart" systemctl restart otus-httpd
    equal "another user: all processes" "$(ps -o user= -p "$(property MainPID)" --ppid "$(property MainPID)" | sort -u)" web
    equal "another user: what it may read" "$(status_of $url/for-web.html)" 200
    equal "another user: what only the web group may read" "$(status_of $url/for-the-web-group.html)" 403
    without_drop_ins
    equal "without drop-ins: it is as before" "$(status_of $url/for-web.html) $(status_of $url/test.html)" "403 200"
    rm -rf /home/web /var/www/html/for-*.html
    userdel web
}

# manual_drop_in KIND HEADING: installs the drop-in under that heading of the manual.
manual_drop_in() {
    local directory=/etc/systemd/system/otus-httpd.$1.d
    mkdir -p "$directory"
    manual_text "$2" '[' > "$directory/override.conf"
    forget_starts
    check "the manual has a drop-in: $2" test -s "$directory/override.conf"
    systemctl daemon-reload
}

# manual_text HEADING BEGIN: prints the text under that heading of the manual, from a line that begins so to an empty one.
manual_text() {
    awk -v heading="$1" -v begin="$2" '{sub(/^ +/, "")} $0 == heading {here = 1} here && index($0, begin) == 1 {text = 1} text && !NF {exit} text' /tmp/man
}

# over_unix_socket USER
over_unix_socket() {
    setpriv --reuid="$1" --regid="$(id -g "$1")" --clear-groups curl --silent --output /dev/null --max-time 20 --write-out '%{http_code}' \
        --unix-socket /run/otus-httpd.sock http://localhost/test.html || true
}

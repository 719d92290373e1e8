# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: further sites beside the main one.

# Two further sites, as in the manual: one for a proxy, one on a port. No site affects the others.
instances() {
    local name
    for name in shop blog; do
        mkdir /srv/$name
        echo "the $name" > /srv/$name/index.html
    done
    local drop_in=/etc/systemd/system/otus-httpd@blog.socket.d
    mkdir $drop_in
    printf '%s\n' '[Socket]' ListenStream= ListenStream=8081 DeferAcceptSec=10 NoDelay=yes > $drop_in/override.conf
    check "instances: enable" quietly systemctl enable --now otus-httpd@shop.socket otus-httpd@blog.socket
    equal "instances: a unix socket for the web group" "$(stat --format='%U %G %a' /run/otus-httpd-shop.sock)" "root www-data 660"
    equal "instances: not started" "$(systemctl is-active otus-httpd@shop.service otus-httpd@blog.service | paste -sd ' ')" "inactive inactive"
    equal "instances: each has its own root" "$(shop) $(curl --silent http://127.0.0.1:8081/) $(status_of $url/test.html)" \
        "the shop the blog 200"
    equal "instances: each has its own journal" "$(for name in shop blog; do
        journalctl -u otus-httpd@$name | grep -o 'document root: [^,]*' | sort -u
    done | paste -sd ' ')" "document root: /srv/shop document root: /srv/blog"
    check "instances: the sandbox can be compared" test "$(confinement otus-httpd | wc -l)" -gt 40
    equal "instances: the sandbox is the service's" "$(confinement otus-httpd@shop)" "$(confinement otus-httpd)"
    equal "instances: nothing of theirs was refused" "$(journalctl -b | grep -E 'otus-httpd@.*(Unknown|Failed|refus|not permitted)' |
        grep -vE "Unknown key name '($unknown)'|migrate controller cgroups .*, ignoring")" ""

    mkdir /srv/new-shop
    echo "the new shop" > /srv/new-shop/index.html
    echo OTUS_ROOT=/srv/new-shop > /etc/default/otus-httpd-shop
    check "instances: settings of its own" systemctl restart otus-httpd@shop.service
    equal "instances: another root" "$(shop)" "the new shop"
    systemctl stop otus-httpd@blog.socket otus-httpd@blog.service
    equal "instances: one stopped, the others go on" "$(status_of http://127.0.0.1:8081/) $(shop) $(status_of $url/test.html)" \
        "000 the new shop 200"
    systemctl stop otus-httpd.socket otus-httpd.service
    equal "instances: the service stopped, they go on" "$(shop)" "the new shop"
    systemctl start otus-httpd.socket
    rm -r $drop_in /etc/default/otus-httpd-shop /srv/new-shop
    systemctl daemon-reload
    systemctl restart otus-httpd@shop.service
    # They stay enabled, and one runs: the removal must stop them, and the purge must remove their links.
    equal "instances: from now on" "$(shop)" "the shop"
}

shop() {
    curl --silent --unix-socket /run/otus-httpd-shop.sock http://localhost/
}

# Prints the limits and the sandbox of a service.
confinement() {
    systemctl show "$1.service" | grep -E '^(Protect|Private|Restrict|SystemCall|Capability|Ambient|NoNew|Limit|Tasks|User|Group|Supplementary|UMask|IPAddress|Memory|Lock|NoExec|Exec(Paths)|RemoveIPC|Watchdog(USec)=|Timeout(Stop|Start)USec|Restart=|KillMode)'
}

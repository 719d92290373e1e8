# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: access by password and by network under the unit.

status_as() {
    curl --silent --output /dev/null --write-out '%{http_code}' --user "$1" "$2"
}

access_rules() {
    local users=/etc/otus-httpd/intern.users pid main
    cp /etc/default/otus-httpd /tmp/default
    mkdir -p /var/www/html/intern /var/www/html/far
    echo intern > /var/www/html/intern/file.txt
    echo far > /var/www/html/far/file.txt
    echo "anna:$(openssl passwd -6 secret)" > $users
    chown root:otus-httpd $users
    chmod 640 $users
    printf '%s\n' "OTUS_AUTH=/intern=$users" "OTUS_ALLOW=/far=192.0.2.0/24" >> /etc/default/otus-httpd
    check "access: the settings are valid" otus-httpd --check
    check "access: reload" systemctl reload-or-restart otus-httpd
    check "access: 401 without a password" wait_for 10 sh -c "[ \$(curl --silent --output /dev/null --write-out '%{http_code}' $url/intern/file.txt) = 401 ]"
    equal "access: 200 with it, 401 with another" "$(status_as anna:secret $url/intern/file.txt) $(status_as anna:other $url/intern/file.txt)" "200 401"
    equal "access: 403 from another network, 200 elsewhere" "$(status_of $url/far/file.txt) $(status_of $url/test.html)" "403 200"
    main=$(property MainPID)
    pid=$(pgrep --parent "$main" --exact otus-logins)
    equal "login process: user" "$(ps -o user= -p "$pid")" "otus-httpd"
    equal "login process: no capability, none to gain, system calls by a list" \
        "$(awk '/^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):/ {print $2}' "/proc/$pid/status" | sort | uniq -c | xargs)" \
        "4 0000000000000000 1 1 1 2"
    journalctl --sync
    equal "access: the user is in the access log, and no other" \
        "$(journalctl -u otus-httpd -o json HTTP_TARGET=/intern/file.txt | grep -o '"HTTP_USER":"[^"]*"' | sort -u | xargs)" "HTTP_USER:anna"
    echo "bert:$(openssl passwd -6 secret)" > $users
    check "access: a change of the file counts without a reload" wait_for 3 sh -c \
        "[ \$(curl --silent --output /dev/null --write-out '%{http_code}' --user bert:secret $url/intern/file.txt) = 200 ]"
    equal "access: who is no longer in it is refused" "$(status_as anna:secret $url/intern/file.txt)" 401
    chmod 600 $users
    check "access: a file that the service may not read: 503" wait_for 3 sh -c \
        "[ \$(curl --silent --output /dev/null --write-out '%{http_code}' --user bert:secret $url/intern/file.txt) = 503 ]"
    cp $users /var/www/html/intern.users
    echo "OTUS_AUTH=/intern=/var/www/html/intern.users" >> /etc/default/otus-httpd
    check "access: a file of users in the document root is a problem" sh -c 'otus-httpd --check 2>&1 | grep "where workers may read"'
    rm -r $users /var/www/html/intern.users /var/www/html/intern /var/www/html/far
    cp /tmp/default /etc/default/otus-httpd
    systemctl restart otus-httpd
}

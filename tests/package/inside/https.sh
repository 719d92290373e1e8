# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: HTTPS by one command. In the end it is enabled, with an imported certificate, for what follows.

names="example.test www.example.test"

https() {
    local had_hosts=no begin=$SECONDS
    ! cp --preserve /etc/hosts /tmp/hosts 2> /dev/null || had_hosts=yes
    https_failures
    https_enabled
    https_renewed
    https_disabled
    systemctl stop pebble challtestsrv
    https_imported
    rm -f /etc/hosts
    [ $had_hosts = no ] || cp --preserve /tmp/hosts /etc/hosts
    echo "INFO https: these checks took $((SECONDS - begin)) s"
}

enable_https() {
    # shellcheck disable=SC2086
    REQUESTS_CA_BUNDLE=/tmp/acme/api.pem otus-httpd https enable $names --server "$acme" --agree-tos "$@" > /tmp/output 2>&1
}

without_agreement() {
    # shellcheck disable=SC2086
    otus-httpd https enable $names --server "$acme" > /tmp/output 2>&1
}

import_https() {
    otus-httpd https import "$@" > /tmp/output 2>&1
}

disable_https() {
    otus-httpd https disable > /tmp/output 2>&1
}

# The last line of the output, which has the reason of a failure.
reason() {
    tail -n 1 /tmp/output
}

# fails NAME TEXT COMMAND...: the command must fail with the text in its last line, and everything must be as before.
fails() {
    local name=$1 text=$2 before
    shift 2
    before=$(https_state)
    "$@"
    equal "https: $name: fails" "$? $(reason | grep --count --fixed-strings -- "$text")" "1 1"
    echo "INFO https: $name: $(reason)"
    equal "https: $name: everything is as it was" "$(diff <(echo "$before") <(https_state))" ""
}

https_state() {
    systemctl is-enabled otus-httpd-https.socket
    systemctl is-active otus-httpd-https.socket
    find /etc/otus-httpd /var/lib/otus-httpd/acme -printf '%p %l %m\n' | sort
    # certbot makes the directories.
    find /etc/otus-httpd /etc/letsencrypt/renewal-hooks -type f -exec sha256sum {} + 2> /dev/null | sort
    grep -v '^#' /etc/default/otus-httpd
    echo "$(state service) $(status_of $url/test.html)"
}

# secure_status NAME PATH [ROOT]
secure_status() {
    status_of --cacert "${3:-/tmp/acme/root.pem}" --resolve "$1:443:127.0.0.1" "https://$1$2"
}

serial() {
    openssl s_client -connect 127.0.0.1:443 -servername example.test < /dev/null 2> /dev/null | openssl x509 -noout -serial
}

https_failures() {
    mv /usr/bin/certbot /tmp/certbot
    fails "without certbot" "run apt install certbot" enable_https
    mv /tmp/certbot /usr/bin/certbot
    check "https: an ACME server" start_acme
    fails "names that lead nowhere" "example.test has no address" enable_https
    echo "127.0.0.1 $names" >> /etc/hosts
    fails "no agreement to the terms" "repeat the command with --agree-tos" without_agreement
    systemctl stop pebble
    fails "the certification authority is down" "cannot be reached" enable_https
    start_rate_limit
    acme=https://localhost:14001/dir fails "a rate limit" "its rate limit" enable_https
    systemctl stop limit
    check "https: the ACME server again" start_acme
    cp /etc/default/otus-httpd /tmp/default
    echo OTUS_WORKERS=none >> /etc/default/otus-httpd
    fails "a setting is invalid" 'OTUS_WORKERS cannot be "none"' enable_https
    cp /tmp/default /etc/default/otus-httpd
    systemctl stop otus-httpd.socket otus-httpd.service
    fails "port 80 is closed" "systemctl start otus-httpd.socket" enable_https
    systemd-run --quiet --unit=other --collect python3 -m http.server --bind 0.0.0.0 80
    wait_for 10 curl --silent $url/
    fails "another server has port 80" "does not serve the challenges of this server" enable_https
    systemctl stop other
    systemctl start otus-httpd.socket
    status_of $url/test.html > /dev/null
    https_port_taken
}

https_port_taken() {
    systemd-run --quiet --unit=other --collect python3 -m http.server --bind 0.0.0.0 443
    wait_for 10 curl --silent http://127.0.0.1:443/
    fails "port 443 is taken" "Another program listens" enable_https
    systemctl enable --quiet otus-httpd-https.socket
    systemctl restart otus-httpd.service 2> /dev/null
    equal "https: with port 443 taken, a restart brings HTTP back" "$(state service) $(status_of $url/test.html)" "active 200"
    otus-httpd --check > /tmp/output 2>&1
    equal "https: with port 443 taken, --check has the remedy" "$(grep --count 'otus-httpd-https.socket is not active.*systemctl restart otus-httpd.service' /tmp/output)" 1
    systemctl disable --quiet otus-httpd-https.socket
    systemctl stop other
    systemctl reset-failed otus-httpd-https.socket
}

https_enabled() {
    local start load
    start=$(date +%s%N)
    rm -f /tmp/acme/enabled
    request_often $url/test.html /tmp/acme/enabled > /tmp/acme/times & load=$!
    check "https: enable" enable_https --redirect
    echo "INFO https: enable took $((($(date +%s%N) - start) / 1000000)) ms"
    touch /tmp/acme/enabled
    wait $load
    equal "https: enable: no request over port 80 failed" "$(cut -d ' ' -f 1 /tmp/acme/times | sort -u)" 200
    echo "INFO https: enable: the longest of $(wc -l < /tmp/acme/times) requests over port 80 took $(cut -d ' ' -f 2 /tmp/acme/times |
        sort -n | tail -n 1) s"
    sed 's/^/INFO /' /tmp/output
    equal "https: curl with the authority's root" "$(secure_status example.test /test.html) $(secure_status www.example.test /test.html)" "200 200"
    equal "https: what renews it, and when" "$(grep --count 'certbot.timer renews .* it runs next on ' /tmp/output)" 1
    equal "https: a redirect, for the names only" \
        "$(curl --silent --output /dev/null --write-out '%{http_code} %{redirect_url}' 'http://example.test/a?b') $(status_of $url/test.html)" \
        "301 https://example.test/a?b 200"
    cp /etc/hosts /tmp/hosts-without
    echo "2001:db8::1 example.test" >> /etc/hosts
    check "https: a repetition" enable_https --redirect
    equal "https: an address that does not respond is named" "$(grep --count '^example.test leads to 2001:db8::1 .* by IPv6 (an AAAA record)' /tmp/output)" 1
    cp /tmp/hosts-without /etc/hosts
    systemctl stop otus-httpd.socket otus-httpd.service
    equal "https: off the network is off" "$(secure_status example.test /test.html) $(systemctl is-active otus-httpd-https.socket)" "000 inactive"
    systemctl start otus-httpd.socket
    equal "https: a connection to port 443 starts the service" "$(secure_status example.test /test.html) $(state service)" "200 active"
    otus-httpd https status > /tmp/output 2>&1
    # The pebble of Debian 11 has no setting for the days.
    equal "https: status" "$? $(grep --count '^example.test  used  *[0-9]* days  *certbot  ' /tmp/output)" "0 1"
    sed 's/^/INFO /' /tmp/output
    otus-httpd --check > /tmp/output 2>&1
    equal "https: --check lists the certificate, and has no warning" \
        "$? $(grep --count '^certificate example.test: .*issued by .*Pebble' /tmp/output) $(grep -ci warn /tmp/output)" "0 1 0"
    echo 'OTUS_HSTS=300' >> /etc/default/otus-httpd
    check "https: reload with --hsts" systemctl reload otus-httpd
    equal "https: Strict-Transport-Security" "$(curl --silent --head --cacert /tmp/acme/root.pem https://example.test/ | tr -d '\r' |
        grep -i ^strict)" "strict-transport-security: max-age=300"
}

# request_often URL FILE [CURL OPTION...]: until the file exists, requests the page over new connections, and prints status and seconds.
request_often() {
    until [ -e "$2" ]; do
        curl --silent --output /dev/null --max-time 20 --write-out '%{http_code} %{time_total}\n' "${@:3}" "$1"
        sleep 0.02
    done
}

https_renewed() {
    local before load
    before=$(serial)
    ab -q -t 120 -n 10000000 -c 4 https://example.test/test.html > /tmp/ab.log 2>&1 & load=$!
    check "https: forced renewal" env REQUESTS_CA_BUNDLE=/tmp/acme/api.pem certbot renew --quiet --force-renewal --no-random-sleep-on-renew
    check "https: the new certificate is served" wait_for 15 serial_changed "$before"
    # It prints its counts then.
    kill -INT $load
    wait $load
    equal "https: no request failed during the renewal" "$(ab_counts /tmp/ab.log | cut -d ' ' -f 2-)" "0 0"
    check "https: and there were requests" [ "$(ab_counts /tmp/ab.log | cut -d ' ' -f 1)" -gt 100 ]
    echo "INFO https: serial before: $before; after: $(serial); requests meanwhile: $(ab_counts /tmp/ab.log)"
    equal "https: challenges are removed" "$(find /var/lib/otus-httpd/acme -type f | wc -l)" 0
    # The challenge is refused if the name leads elsewhere for the authority only.
    curl --silent --data '{"host": "other.example.test", "addresses": ["192.0.2.1"]}' http://127.0.0.1:8055/add-a > /dev/null
    echo "127.0.0.1 other.example.test" >> /etc/hosts
    names="other.example.test" fails "the challenge is refused" "could not verify" enable_https
}

serial_changed() {
    local now
    now=$(serial)
    [ -n "$now" ] && [ "$now" != "$1" ]
}

# Makes the next start of the service fail, and only that one.
fail_once() {
    local drop_in=/run/systemd/system/otus-httpd.service.d/fail-once.conf
    mkdir -p ${drop_in%/*}
    printf "[Service]\nExecStartPre=+/bin/sh -c '! rm /run/fail-once 2> /dev/null'\n" > $drop_in
    systemctl daemon-reload
    touch /run/fail-once
}

never_fail() {
    rm -f /run/systemd/system/otus-httpd.service.d/fail-once.conf
    systemctl daemon-reload
}

https_disabled() {
    fails "disable with HSTS" "First set OTUS_HSTS=0" disable_https
    sed -i 's/^OTUS_HSTS=300/OTUS_HSTS=0/' /etc/default/otus-httpd
    cp /etc/default/otus-httpd /tmp/default
    echo OTUS_WORKERS=none >> /etc/default/otus-httpd
    fails "disable with an invalid setting" 'OTUS_WORKERS cannot be "none"' disable_https
    cp /tmp/default /etc/default/otus-httpd
    fail_once
    fails "disable while a restart fails" "has failed" disable_https
    never_fail
    equal "https: disable while a restart fails: HTTPS is served" "$(secure_status example.test /test.html)" 200
    mv /etc/default/otus-httpd /etc/otus-httpd-settings
    ln -s /etc/otus-httpd-settings /etc/default/otus-httpd
    check "https: disable" disable_https
    check "https: disable: a link to the settings stays one" test -L /etc/default/otus-httpd
    mv /etc/otus-httpd-settings /etc/default/otus-httpd
    otus-httpd --check > /tmp/output 2>&1
    equal "https: disable: --check has no warning about OTUS_HSTS=0" "$? $(grep -ci warn /tmp/output)" "0 0"
    sed -i '/^OTUS_HSTS=/d' /etc/default/otus-httpd
    local before
    before="$(property MainPID) $(https_state)"
    check "https: disable again" disable_https
    equal "https: disable again: nothing changes" "$(property MainPID) $(https_state)" "$before"
    equal "https: disabled" "$(systemctl is-enabled otus-httpd-https.socket) $(systemctl is-active otus-httpd-https.socket) $(status_of \
        http://example.test/test.html)" "disabled inactive 200"
    equal "https: port 443 is closed" "$(status_of --insecure https://example.test/)" 000
    equal "https: the key process has ended" "$(systemctl is-active otus-httpd-keys.socket otus-httpd-keys.service | paste -sd ' ')" "inactive inactive"
    local live=/etc/letsencrypt/live/example.test
    fails "import beside a link" "is a link" import_https $live/fullchain.pem $live/privkey.pem
}

# make_certificate [OPTION OF OPENSSL REQ...]: makes a certificate for own.test that is its own issuer.
make_certificate() {
    [ $# -gt 0 ] || set -- -newkey ec -pkeyopt ec_paramgen_curve:P-256
    openssl req -x509 "$@" -nodes -keyout /tmp/own.key -out /tmp/own.pem -days 30 \
        -subj /CN=own.test -addext "subjectAltName=DNS:own.test,DNS:*.own.test" 2> /dev/null
}

# served_for ALGORITHM: the number of the certificate that a client with these signatures gets.
served_for() {
    openssl s_client -connect 127.0.0.1:443 -servername own.test -sigalgs "$1" < /dev/null 2> /dev/null | openssl x509 -noout -serial
}

is_served() {
    [ "$(secure_status own.test /test.html "$1")" = 200 ]
}

https_imported() {
    make_certificate
    cp /tmp/own.pem /tmp/first.pem
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /tmp/other.key
    fails "import of a key that does not fit" "cannot be used" import_https /tmp/own.pem /tmp/other.key
    check "https: import" import_https /tmp/own.pem /tmp/own.key
    sed 's/^/INFO /' /tmp/output
    equal "https: the imported certificate is served" "$(secure_status own.test /test.html /tmp/own.pem) $(secure_status a.own.test /test.html /tmp/own.pem)" "200 200"
    equal "https: the key is root's alone" "$(stat --format='%U %a' /etc/otus-httpd/certificates/own.test/privkey.pem)" "root 600"
    make_certificate
    check "https: import of its successor" import_https /tmp/own.pem /tmp/own.key
    equal "https: the successor is served" "$(secure_status own.test /test.html /tmp/own.pem) $(secure_status own.test /test.html /tmp/first.pem)" "200 000"
    cp /tmp/own.pem /tmp/ecdsa.pem
    cp /tmp/own.key /tmp/ecdsa.key
    make_certificate -newkey rsa:2048
    check "https: import of one with an RSA key" import_https /tmp/own.pem /tmp/own.key
    equal "https: both types are served" "$(served_for ECDSA+SHA256) $(served_for RSA-PSS+SHA256)" \
        "$(openssl x509 -noout -serial -in /tmp/ecdsa.pem) $(openssl x509 -noout -serial -in /tmp/own.pem)"
    equal "https: each has a folder" "$(cd /etc/otus-httpd/certificates && echo own.test*)" "own.test own.test-rsa"
    rm -r /etc/otus-httpd/certificates/own.test-rsa
    check "https: disable the imported one" disable_https
    equal "https: port 443 is closed again" "$(secure_status own.test /test.html /tmp/ecdsa.pem)" 000
    make_certificate
    fail_once
    fails "import while a restart fails" "has failed" import_https /tmp/own.pem /tmp/own.key
    never_fail
    cp /tmp/ecdsa.pem /tmp/own.pem
    check "https: import again" import_https /tmp/own.pem /tmp/ecdsa.key
    https_moved
}

# A changed directory of certificates.
https_moved() {
    make_certificate
    mkdir -p /etc/otus-httpd/elsewhere/own.test
    cp /tmp/own.pem /etc/otus-httpd/elsewhere/own.test/fullchain.pem
    cp /tmp/own.key /etc/otus-httpd/elsewhere/own.test/privkey.pem
    echo OTUS_CERTIFICATES=/etc/otus-httpd/elsewhere >> /etc/default/otus-httpd
    check "https: reload with another directory of certificates" systemctl reload otus-httpd
    check "https: its certificate is served" wait_for 10 is_served /tmp/own.pem
    cp /tmp/ecdsa.pem /tmp/own.pem
    sed -i '/^OTUS_CERTIFICATES=/d' /etc/default/otus-httpd
    check "https: reload with the directory of before" systemctl reload otus-httpd
    check "https: the certificate of before is served" wait_for 10 is_served /tmp/own.pem
    rm -r /etc/otus-httpd/elsewhere
}

# What must be true as long as HTTPS is enabled.
https_serves() {
    equal "$1: HTTPS" "$(systemctl is-enabled otus-httpd-https.socket) $(secure_status own.test /test.html /tmp/own.pem)" "enabled 200"
}

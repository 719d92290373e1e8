# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: HTTPS by one command, with an ACME server on this machine.

acme=https://localhost:14000/dir
names="example.test www.example.test"

# Starts pebble, whose certification authority is new each time, and a name server that has 127.0.0.1 for every name.
start_acme() {
    mkdir -p /tmp/acme
    grep --quiet localhost /etc/hosts || echo "127.0.0.1 localhost" >> /etc/hosts
    if [ ! -e /tmp/acme/api.pem ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /tmp/acme/api.key -out /tmp/acme/api.pem \
            -days 30 -subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:127.0.0.1"
        cat > /tmp/acme/config.json << END
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "certificate": "/tmp/acme/api.pem",
"privateKey": "/tmp/acme/api.key", "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": false,
"certificateValidityPeriod": 7776000}}
END
        systemd-run --quiet --unit=challtestsrv pebble-challtestsrv -defaultIPv6 "" -http01 "" -https01 "" -tlsalpn01 "" \
            -dns01 127.0.0.1:8053 -management 127.0.0.1:8055
    fi
    systemd-run --quiet --unit=pebble --collect --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0 \
        --setenv=PEBBLE_AUTHZREUSE=0 pebble -config /tmp/acme/config.json -dnsserver 127.0.0.1:8053
    wait_for 10 curl --silent --fail --cacert /tmp/acme/api.pem --output /tmp/acme/root.pem https://localhost:15000/roots/0
}

# A directory of an ACME server that has a rate limit and refuses every account.
start_rate_limit() {
    cat > /tmp/acme/limit.py << 'END'
import http.server, json, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def send(self, status, content, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Replay-Nonce", "bm9uY2U")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
    def do_GET(self):
        names = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
        self.send(200, json.dumps({name: f"https://localhost:14001/{name}" for name in names}).encode(), "application/json")
    do_HEAD = do_GET
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many registrations", "status": 429}
        self.send(429, json.dumps(problem).encode(), "application/problem+json")
server = http.server.HTTPServer(("127.0.0.1", 14001), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/acme/api.pem", "/tmp/acme/api.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
END
    systemd-run --quiet --unit=limit --collect python3 /tmp/acme/limit.py
    wait_for 10 curl --silent --fail --cacert /tmp/acme/api.pem https://localhost:14001/dir
}

enable_https() {
    # shellcheck disable=SC2086
    REQUESTS_CA_BUNDLE=/tmp/acme/api.pem otus-httpd https enable $names --server "$acme" --agree-tos "$@" > /tmp/output 2>&1
}

# The last line of the output, which has the reason of a failure.
reason() {
    tail -n 1 /tmp/output
}

# fails NAME TEXT COMMAND...: the command must fail with the text in one sentence, and HTTPS must be as before.
fails() {
    local name=$1 text=$2 before
    shift 2
    before=$(https_state)
    "$@"
    equal "https: $name: fails" "$? $(reason | grep --count --fixed-strings -- "$text")" "1 1"
    reason | grep --quiet --fixed-strings -- "$text" || sed 's/^/INFO /' /tmp/output
    equal "https: $name: everything is as it was" "$(https_state)" "$before"
}

https_state() {
    systemctl is-enabled otus-httpd-https.socket
    systemctl is-active otus-httpd-https.socket
    find /etc/otus-httpd /var/lib/otus-httpd/acme -printf '%p %l\n' | sort
    grep -v '^#' /etc/default/otus-httpd
}

secure_status() {
    status_of --cacert /tmp/acme/root.pem --resolve "$1:443:127.0.0.1" "https://$1$2"
}

serial() {
    openssl s_client -connect 127.0.0.1:443 -servername example.test < /dev/null 2> /dev/null | openssl x509 -noout -serial
}

https() {
    if ! command -v pebble > /dev/null || ! command -v certbot > /dev/null; then
        fails "without certbot" "run apt install certbot" without_certbot
        echo "SKIP https: this release has no pebble, so no certificate can be got here"
        return
    fi
    check "https: an ACME server" start_acme
    fails "names that lead nowhere" "example.test has no address" enable_https
    echo "127.0.0.1 $names" >> /etc/hosts
    systemctl stop pebble
    fails "the certification authority is down" "cannot be reached" enable_https
    start_rate_limit
    acme=https://localhost:14001/dir fails "a rate limit" "its rate limit" enable_https
    systemctl stop limit
    check "https: the ACME server again" start_acme
    systemd-run --quiet --unit=other --collect python3 -m http.server --bind 0.0.0.0 443
    wait_for 10 curl --silent http://127.0.0.1:443/
    fails "port 443 is taken" "Another program listens" enable_https
    systemctl enable --quiet otus-httpd-https.socket
    systemctl restart otus-httpd.service 2> /dev/null
    equal "https: with port 443 taken, a restart brings HTTP back" "$(status_of $url/test.html)" 200
    systemctl disable --quiet otus-httpd-https.socket
    systemctl stop other
    systemctl reset-failed otus-httpd-https.socket
    https_enabled
    https_renewed
    https_disabled
}

without_certbot() {
    otus-httpd https enable example.test --agree-tos > /tmp/output 2>&1
}

https_enabled() {
    local start load
    start=$(date +%s%N)
    request_often & load=$!
    check "https: enable" enable_https --redirect
    echo "INFO https: enable took $((($(date +%s%N) - start) / 1000000)) ms"
    touch /tmp/acme/enabled
    wait $load
    equal "https: enable: no request over port 80 failed" "$(cut -d ' ' -f 1 /tmp/acme/times | sort -u)" 200
    echo "INFO https: enable: the longest of $(wc -l < /tmp/acme/times) requests over port 80 took $(cut -d ' ' -f 2 /tmp/acme/times |
        sort -n | tail -n 1) s"
    sed 's/^/INFO /' /tmp/output
    equal "https: curl with the authority's root" "$(secure_status example.test /test.html) $(secure_status www.example.test /test.html)" "200 200"
    equal "https: what renews it is said" "$(grep --count 'certbot.timer' /tmp/output)" 1
    equal "https: a redirect, for the names only" \
        "$(curl --silent --output /dev/null --write-out '%{http_code} %{redirect_url}' 'http://example.test/a?b') $(status_of $url/test.html)" \
        "301 https://example.test/a?b 200"
    check "https: a repetition" enable_https --redirect
    systemctl stop otus-httpd.socket otus-httpd.service
    equal "https: off the network is off" "$(secure_status example.test /test.html) $(systemctl is-active otus-httpd-https.socket)" "000 inactive"
    systemctl start otus-httpd.socket
    equal "https: a connection to port 443 starts the service" "$(secure_status example.test /test.html) $(state service)" "200 active"
    otus-httpd https status > /tmp/output 2>&1
    equal "https: status" "$? $(grep --count '^example.test  used  *89 days  *certbot  ' /tmp/output)" "0 1"
    sed 's/^/INFO /' /tmp/output
    echo 'OTUS_HSTS=300' >> /etc/default/otus-httpd
    check "https: reload with --hsts" systemctl reload otus-httpd
    equal "https: Strict-Transport-Security" "$(curl --silent --head --cacert /tmp/acme/root.pem https://example.test/ | tr -d '\r' |
        grep ^Strict)" "Strict-Transport-Security: max-age=300"
}

# Requests a page again and again, each time over a new connection, and writes status and seconds to /tmp/acme/times.
request_often() {
    until [ -e /tmp/acme/enabled ]; do
        curl --silent --output /dev/null --max-time 20 --write-out '%{http_code} %{time_total}\n' $url/test.html
        sleep 0.02
    done > /tmp/acme/times
}

https_renewed() {
    local before
    before=$(serial)
    ab -q -t 20 -n 1000000 -c 4 https://example.test/test.html > /tmp/ab.log 2>&1 &
    local load=$!
    check "https: forced renewal" env REQUESTS_CA_BUNDLE=/tmp/acme/api.pem certbot renew --quiet --force-renewal --no-random-sleep-on-renew
    check "https: the new certificate is served" wait_for 15 sh -c "$(declare -f serial); [ \"\$(serial)\" != '$before' ]"
    wait $load
    equal "https: no request failed during the renewal" "$(ab_counts /tmp/ab.log | cut -d ' ' -f 2-)" "0 0"
    check "https: and there were requests" [ "$(ab_counts /tmp/ab.log | cut -d ' ' -f 1)" -gt 1000 ]
    equal "https: challenges are removed" "$(find /var/lib/otus-httpd/acme -type f | wc -l)" 0
    # The challenge is refused if another name leads elsewhere for the authority only.
    curl --silent --data '{"host": "other.example.test", "addresses": ["192.0.2.1"]}' http://127.0.0.1:8055/add-a > /dev/null
    echo "127.0.0.1 other.example.test" >> /etc/hosts
    names="other.example.test" fails "the challenge is refused" "could not verify" enable_https
}

https_disabled() {
    otus-httpd https disable > /tmp/output 2>&1
    equal "https: disable with HSTS warns" "$? $(grep --count 'First set OTUS_HSTS=0' /tmp/output)" "1 1"
    sed -i 's/^OTUS_HSTS=300/OTUS_HSTS=0/' /etc/default/otus-httpd
    check "https: disable" otus-httpd https disable
    check "https: disable again" otus-httpd https disable
    equal "https: disabled" "$(systemctl is-enabled otus-httpd-https.socket) $(systemctl is-active otus-httpd-https.socket) $(status_of \
        http://example.test/test.html)" "disabled inactive 200"
    equal "https: port 443 is closed" "$(status_of --insecure https://example.test/)" 000
    local live=/etc/letsencrypt/live/example.test
    equal "https: import beside a link is refused" \
        "$(otus-httpd https import $live/fullchain.pem $live/privkey.pem 2>&1 | grep --count 'is a link')" 1
    rm /etc/otus-httpd/certificates/example.test
    equal "https: import of a key that does not fit is refused" \
        "$(otus-httpd https import $live/fullchain.pem /tmp/acme/api.key 2>&1 | grep --count 'cannot be used')" 1
    equal "https: and leaves nothing" "$(find /etc/otus-httpd/certificates -mindepth 1)" ""
    check "https: import" otus-httpd https import $live/fullchain.pem $live/privkey.pem
    equal "https: the imported certificate is served" "$(secure_status example.test /test.html)" 200
    check "https: disable the imported one" otus-httpd https disable
    rm -r /etc/otus-httpd/certificates/example.test
    sed -i '/^OTUS_HSTS=/d' /etc/default/otus-httpd
}

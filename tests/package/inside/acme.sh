# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: a certification authority on this machine, by ACME.

acme=https://localhost:14000/dir

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

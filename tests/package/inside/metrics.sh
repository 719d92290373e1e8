# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: metrics and the health check.

# Metrics and health check, as in the manual.
metrics() {
    local at=http://127.0.0.1:9180
    equal "metrics: nowhere by default" "$(status_of $at/metrics)$(status_of $url/metrics)" 000404
    check "metrics: enable" quietly systemctl enable otus-httpd-metrics.socket
    check "metrics: restart of the service" systemctl restart otus-httpd
    equal "metrics: both sockets listen" "$(state socket) $(systemctl is-active otus-httpd-metrics.socket)" "active active"
    equal "metrics: asking is answered" "$(curl --silent $at/health)" ready
    check "metrics: and has started the service" wait_for 5 systemctl is-active otus-httpd.service
    ab -q -n 1000 -c 10 $url/test.html > /tmp/ab.log
    equal "metrics: requests are counted, over all workers" "$(sample 'otus_http_requests_total{method="GET",code="2xx"}')" 1000
    kill -KILL "$(workers | head -n 1)"
    check "metrics: a killed worker" wait_for 5 counted 'otus_worker_restarts_total{reason="signal"}' 1
    equal "metrics: not on the site, and the site not there" "$(status_of $url/metrics) $(status_of $at/test.html)" "404 404"
    if [ -x "$here/promtool" ]; then
        check "metrics: promtool finds nothing wrong" silent sh -c "curl --silent $at/metrics | $here/promtool check metrics"
    else
        echo "SKIP metrics: promtool cannot be had here, or wants a newer glibc, so it has not checked them"
    fi
    systemctl stop otus-httpd.socket otus-httpd.service
    equal "metrics: off the network is off" "$(status_of $at/health) $(state service)" "000 inactive"

    # It stays enabled: the purge must remove its link.
    systemctl start otus-httpd.socket
    equal "metrics on their port again" "$(curl --silent $at/health)" ready
}

# sample NAME: prints the value of a metric
sample() {
    curl --silent http://127.0.0.1:9180/metrics | awk -v name="$1" '$1 == name {print $2}'
}

counted() {
    [ "$(sample "$1")" = "$2" ]
}

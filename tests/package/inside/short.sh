#!/bin/bash
# Runs inside a machine with another systemd: the package installs, serves, and leaves.
#   short.sh FILE.deb
set -uo pipefail
. "$(dirname "$0")/checks.sh"
export DEBIAN_FRONTEND=noninteractive

install_it() {
    apt-get install --yes --no-install-recommends "$1" > /tmp/output 2>&1 || {
        cat /tmp/output
        return 1
    }
}

echo "INFO $(systemctl --version | head -n 1)"
check "install" install_it "$1"
equal "socket active, service not" "$(state socket) $(state service)" "active inactive"
equal "first request" "$(status_of http://127.0.0.1/test.html)" 200
equal "first request started the service" "$(state service)" active
equal "all processes belong to otus-httpd" "$(ps -o user= -p "$(property MainPID)" --ppid "$(property MainPID)" | sort -u)" otus-httpd
check_ab
check "purge" apt-get purge --yes --quiet otus-httpd
equal "purge: nothing is left" "$(getent passwd otus-httpd; find /etc /lib /usr /var/lib /var/www -name '*otus*' ! -path '/var/lib/dpkg/*' 2> /dev/null; pgrep -x otus-httpd)" ""
finish

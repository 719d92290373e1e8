#!/bin/bash
# Runs inside the container: the package from installation to purge.
#   life-cycle.sh V1.deb V2.deb
set -uo pipefail
here=$(dirname "$0")
. "$here/checks.sh"
. "$here/access-log.sh"
. "$here/administration.sh"
. "$here/rsyslog.sh"
. "$here/accounts.sh"
. "$here/examples.sh"
v1=$1 v2=$2
export DEBIAN_FRONTEND=noninteractive
url=http://127.0.0.1
units=/usr/lib/systemd/system
systemd=$(systemctl --version | awk 'NR == 1 {print $2}')
# The directives that this systemd does not know; it says so, and goes on without.
unknown=none
[ "$systemd" -ge 252 ] || unknown='ExecPaths|NoExecPaths|PrivateIPC'

# Everything that a package could leave behind. Not listed: logs, caches, the books of dpkg, apt and fail2ban, the
# backups that adduser makes of /etc/passwd and its like, and this test.
snapshot() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /test -o -path /var/log \
        -o -path /var/cache -o -path /var/lib/fail2ban -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd \) -prune \
        -o -name '*-' -path '/etc/*' -o -path /etc/.pwd.lock \
        -o -printf '%y %m %u %g %p %l\n' | sort
    find /var/lib/systemd -name '*otus*'
    find /etc -type f ! -name '*-' ! -name .pwd.lock -exec sha256sum {} + | sort
    getent passwd
    getent group
}

quietly() {
    "$@" > /tmp/output 2>&1 || {
        local status=$?
        cat /tmp/output
        return $status
    }
}

installed() {
    quietly apt-get install --yes --no-install-recommends "$1"
}

complaints() {
    grep -iE 'warn|error|could not|not executed|failed|^[EW]:' /tmp/output
}

listening_inode() {
    ss --no-header --listening --tcp --numeric --extended 'sport = :80' | grep -o 'ino:[0-9]*'
}

installation() {
    check "install" installed "$v1"
    equal "install: nothing to complain about in the output" "$(complaints)" ""
    equal "no file lies in a directory that is a link to another on Debian 13" "$(dpkg --listfiles otus-httpd | grep -E '^/(bin|lib|lib64|sbin)(/|$)')" ""
    equal "it is a httpd, for packages that want one" "$(dpkg-query --showformat='${Provides}' --show otus-httpd)" httpd
    equal "socket enabled" "$(systemctl is-enabled otus-httpd.socket)" enabled
    equal "socket active" "$(state socket)" active
    equal "service not started" "$(state service)" inactive
    equal "the pages are in the document root" "$(diff -r /usr/share/otus-httpd/www /var/www/html && echo same)" same
    systemd-analyze verify $units/otus-httpd.{socket,service} $units/otus-httpd-metrics.socket $units/otus-httpd@.{socket,service} > /tmp/output 2>&1
    equal "units: systemd-analyze verify" "$? $(grep -vE "Unknown key name '($unknown)'" /tmp/output)" "0 "
    equal "socket for metrics neither enabled nor active" "$(systemctl is-enabled otus-httpd-metrics.socket) $(systemctl is-active \
        otus-httpd-metrics.socket)" "disabled inactive"
    equal "catalog: systemd has taken every entry" "$(journalctl --list-catalog | grep -c ' otus-httpd: ')" \
        "$(grep -c '^-- ' /usr/lib/systemd/catalog/otus-httpd.catalog)"
    # Before 252, systemd does not know all that these units have, nor how to look at a file.
    if [ "$systemd" -ge 252 ]; then
        check "units: exposure at most 0.2" systemd-analyze --no-pager --threshold=2 security otus-httpd.service
        exposure_of_peers
    fi
    equal "man page renders without a complaint" "$(man --warnings otus-httpd 2>&1 > /tmp/man)" ""
    equal "man page of the settings renders without a complaint" "$(man --warnings 5 otus-httpd 2>&1 > /tmp/man5)" ""
    equal "man page: its sections" "$(grep -E '^[A-Z]' /tmp/man | grep -vE '^OTUS-HTTPD' | paste -sd ';')" "NAME;SYNOPSIS;DESCRIPTION;REQUEST PROCESSING;FILES THAT CHANGE;DOCUMENT ROOT;\
OPTIONS;CONFIGURATION CHECK;PRECOMPRESSION;ENVIRONMENT;SOCKET ACTIVATION;INSTANCES;ACCESS LOG;METRICS;RELOAD;STATUS;SANDBOX;DROP-INS;SIGNALS;EXIT STATUS;FILES;EXAMPLES;SEE ALSO"
    equal "man page of the settings: its sections" "$(grep -E '^[A-Z]' /tmp/man5 | grep -vE '^OTUS-HTTPD' | paste -sd ';')" \
        "NAME;SYNOPSIS;DESCRIPTION;FORMAT;SITE;CAPACITY;REQUESTS;TIMEOUTS;LOG;ADDRESS AND USER;EXAMPLES;SEE ALSO"
}

# Debian's units of other web servers, beside ours: 0 is safe, 10 is not.
exposure_of_peers() {
    local ours peer theirs
    ours=$(exposure $units/otus-httpd.service)
    for peer in nginx apache2 lighttpd; do
        theirs=$(exposure "/test/peers/$peer.service")
        check "units: less exposed than $peer" awk "BEGIN {exit !($ours < $theirs)}"
        echo "INFO exposure by systemd-analyze: otus-httpd $ours, $peer $theirs"
    done
}

# exposure FILE
exposure() {
    systemd-analyze --no-pager --offline=true security "$1" 2> /dev/null | grep -oP 'Overall exposure level for .*: \K[0-9.]+'
}

# As bash-completion does it.
completion() {
    equal "bash completes an option" "$(bash -uc '. /usr/share/bash-completion/completions/otus-httpd
        COMP_WORDS=(otus-httpd --workers=2 --drain) COMP_CWORD=2
        command=$(complete -p otus-httpd) command=${command#*-F }
        ${command%% *} otus-httpd --drain --workers=2
        echo "${COMPREPLY[@]}"' 2>&1)" --drain-timeout
    local shell
    for shell in zsh/vendor-completions/_otus-httpd fish/vendor_completions.d/otus-httpd.fish; do
        check "completions: ${shell%%/*}" grep --quiet drain-timeout "/usr/share/$shell"
    done
}

# The two manual pages and the settings file know every option that the server has.
documentation() {
    local options variables
    options=$(otus-httpd --help | grep -oE -- '--[a-z-]+' | sort -u)
    variables=$(otus-httpd --help | grep -oE 'OTUS_[A-Z_]+' | sort -u)
    equal "the manual has every option" "$(comm -23 <(echo "$options") <(grep -oE -- '--[a-z-]+' /tmp/man | sort -u))" ""
    equal "the manual has every variable" "$(comm -23 <(echo "$variables") <(cat /tmp/man /tmp/man5 | grep -oE 'OTUS_[A-Z_]+' | sort -u))" ""
    equal "the manual describes every setting" "$(comm -23 <(grep -v OTUS_SETTINGS <<< "$variables") <(grep -oE '^ +OTUS_[A-Z_]+, ' /tmp/man5 | tr -d ' ,' | sort -u))" ""
    # Which file to read cannot be said in it, and three say nothing to a service.
    equal "the settings file has every variable" "$(grep -vxE 'OTUS_(SETTINGS|HOST|PORT|USER)' <<< "$variables")" "$(grep -oE '^#OTUS_[A-Z_]+=' /etc/default/otus-httpd | tr -d '#=' | sort -u)"
    equal "the settings file sets nothing" "$(grep -vE '^(#.*)?$' /etc/default/otus-httpd)" ""
    # A value in the file that is the default must be the one that the server tells.
    equal "the settings file tells the server's defaults" "$(sed -nE 's/^#(OTUS_[A-Z_]+)=(.*)/\1=\2/p' /etc/default/otus-httpd |
        grep -vE '^OTUS_(ACCESS_LOG|CHARSET|WORKERS|DEBUG|DOTFILES|IDLE_EXIT|LISTING|MAX_PER_CLIENT|MIME|MIME_TYPES|STOP_TIMEOUT)=' | sort)" "$(otus-httpd --help | tr -s ' \n' ' ' |
        grep -oE 'env: OTUS_[A-Z_]+=\]( \[default: [^]]+\])?' | sed -nE 's/env: (OTUS_[A-Z_]+=)\] \[default: (.*)\]/\1\2/p' |
        grep -vE '^OTUS_(HOST|PORT)=' | sort)"
}

silent() {
    local output
    if ! output=$("$@" 2>&1) || [ -n "$output" ]; then
        echo "$output"
        return 1
    fi
}

first_request() {
    equal "first request, IPv4" "$(status_of $url/test.html)" 200
    equal "it started the service" "$(state service)" active
    systemctl stop otus-httpd.service 2> /dev/null
    equal "first request, IPv6" "$(status_of 'http://[::1]/')" 200
    equal "it started the service" "$(state service)" active
    equal "Server header" "$(curl --silent --head $url/ | tr -d '\r' | grep '^Server:')" "Server: OtusServer"
}

status() {
    equal "service type" "$(property Type)" notify
    check "systemctl status shows the server's own words" wait_for 5 sh -c 'systemctl status --no-pager otus-httpd | grep -E "Status: .*workers? .*requests? [1-9]"'
    echo "INFO $(property StatusText)"
    equal "all processes belong to otus-httpd" "$(ps -o user= -p "$(property MainPID)" --ppid "$(property MainPID)" | sort -u)" otus-httpd
    check "journal: records with fields of ours" grep -q '"SYSLOG_IDENTIFIER":"otus-httpd"' <(journalctl -u otus-httpd -o json)
    equal "no directive of the units was refused" "$(journalctl -b | grep -E 'otus-httpd\.(service|socket):[0-9]+:' |
        grep -vE "Unknown key name '($unknown)'")" ""
    equal "journal: the workers have confined themselves, said once" "$(journalctl -u otus-httpd _PID="$(workers | head -n 1)" + \
        -u otus-httpd _PID="$(workers | tail -n 1)" -o cat | grep -c "^Workers are confined: .* beneath /var/www, and neither write nor execute")" 1
    equal "the sandbox refused nothing that the server needs" "$(journalctl -u otus-httpd | grep -ciE 'not permitted|denied')" 0
    install -m 640 -g www-data /usr/share/otus-httpd/www/test.html /var/www/html/for-the-web-group.html
    install -m 600 /usr/share/otus-httpd/www/test.html /var/www/html/for-root.html
    equal "what the web group may read is served" "$(status_of $url/for-the-web-group.html)" 200
    equal "what only root may read is not" "$(status_of $url/for-root.html)" 403
    rm /var/www/html/for-*.html
}

# The effect of the sandbox: on the processes that serve, and on one that tries what it can.
sandbox() {
    local pid
    for pid in $(property MainPID) $(workers); do
        equal "process $pid: no capability, none to gain, system calls by a list" \
            "$(awk '/^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):/ {print $2}' "/proc/$pid/status" | sort | uniq -c | xargs)" \
            "4 0000000000000000 1 1 1 2"
    done
    pid=$(property MainPID)
    equal "from inside: no network but a loopback of its own" "$(nsenter --target "$pid" --net ip -oneline link | awk '{print $2}')" "lo:"
    check "from inside: not even this machine can be reached" sh -c "! nsenter --target $pid --net curl --silent --max-time 5 $url/"
    # Programs and libraries are root's: there the service's user has no right to write. The last of several mounts counts.
    equal "from inside: what is not read-only" "$(awk '{mode[$5] = $6} END {for (place in mode) if (mode[place] !~ /^ro/) print place}' \
        "/proc/$pid/mountinfo" | grep -v '^/run/host/' | sort | xargs)" "/dev/pts /proc$([ "$systemd" -lt 252 ] || echo " /usr/bin/kill /usr/lib /usr/lib64 /usr/sbin")"
    # In place of the server, with the same user, view and filter; python has to be executable for that.
    drop_in service Service "ExecPaths=$(readlink --canonicalize /usr/bin/python3)" "ExecStart=" "ExecStart=/usr/bin/python3 /test/probe.py" Type=oneshot
    check "from inside: nothing that should not be done can be" systemctl restart otus-httpd
    journalctl --sync
    journalctl -u otus-httpd -o cat | grep -E '^BREACH|attempts, ' | sed 's/^/INFO /'
    without_drop_ins
}

killed_worker() {
    # Keep-alive load beside it; it ends by itself.
    ab -q -k -t 8 -n 10000000 -c 20 -r -s 30 $url/test.html > /tmp/ab-kill.log 2>&1 &
    local load=$!
    python3 "$here/clients.py" kill "$(property MainPID)" > /tmp/kill.log 2>&1 || fail "the kill test ran" "$(tail -n 3 /tmp/kill.log)"
    grep -E '^(PASS|FAIL)' /tmp/kill.log
    check "kill -9: the load went on" kill -0 $load
    kill -TERM $load
    wait $load 2> /dev/null
    local pid
    pid=$(awk '/^victim/ {print $2}' /tmp/kill.log)
    check "journal: the death, its pid and signal" sh -c "journalctl -u otus-httpd -o json | python3 $here/clients.py record '$pid'"
    check "catalog: journalctl -x explains the death" sh -c "journalctl -x -u otus-httpd WORKER_PID=$pid | grep 'The process $pid, one of'"
    equal "the service did not restart" "$(property NRestarts)" 0
}

watchdog() {
    local before after hung
    before=$(property MainPID)
    hung=$(workers | head -n 1)
    kill -STOP "$hung"
    check "a hung worker: ended and replaced" wait_for 25 sh -c "! kill -0 $hung 2> /dev/null && test \$(pgrep -c --parent $before) = $(nproc)"
    check "a hung worker: the journal says for how long, in fields" \
        sh -c "journalctl -u otus-httpd WORKER_PID=$hung -o json | grep -E '\"HUNG_SECONDS\":\"([5-9]|1[0-2])\"'"
    equal "a hung worker: the service is the same" "$(property MainPID) $(property NRestarts)" "$before 0"

    kill -STOP "$before"
    equal "a stopped supervisor: its workers serve" "$(status_of $url/test.html)" 200
    check "a stopped supervisor: the watchdog ends it, systemd starts another" wait_for 40 restarted "$before"
    after=$(property MainPID)
    check "journal: watchdog timeout" sh -c 'journalctl -u otus-httpd | grep -i "watchdog timeout"'
    equal "it serves" "$(status_of $url/test.html)" 200
    check "the old processes are gone" sh -c "! kill -0 $before 2> /dev/null && test \$(pgrep -cx otus-httpd) = $(($(workers | wc -l) + 1))"
    equal "no memory dump is left" "$(ls /core* /var/lib/systemd/coredump/* 2> /dev/null)" ""
    [ "$before" != "$after" ]
}

restarted() {
    local pid
    pid=$(property MainPID)
    [ "$pid" != "$1" ] && [ "$pid" != 0 ] && [ "$(property ActiveState)" = active ]
}

stop_and_start() {
    systemctl stop otus-httpd.service 2> /dev/null
    equal "stop of the service: it ended well" "$(property Result)" success
    equal "stop of the service: inactive" "$(state service)" inactive
    equal "stop of the service: no process is left" "$(pgrep -cx otus-httpd)" 0
    equal "stop of the service: the socket stays" "$(state socket)" active
    equal "the next request starts it" "$(status_of $url/test.html) $(state service)" "200 active"
    systemctl stop otus-httpd.socket otus-httpd.service
    equal "stop of both" "$(state socket) $(state service)" "inactive inactive"
    equal "stop of both: nobody listens" "$(listening_inode)" ""
    check "start of the service" systemctl start otus-httpd.service
    equal "start of the service brings the socket along" "$(state socket) $(status_of $url/test.html)" "active 200"
}

# A download that takes longer than TimeoutStopSec=: the server asks systemd for more time, and finishes it.
drain() {
    drop_in service Service TimeoutStopSec=2 Environment=OTUS_STOP_TIMEOUT=30
    systemctl restart otus-httpd
    truncate --size=40M /var/www/html/large.bin
    curl --silent --limit-rate 8M --output /tmp/large.bin $url/large.bin &
    local download=$!
    wait_for 10 test -s /tmp/large.bin
    local start=$SECONDS
    check "stop during a download" systemctl stop otus-httpd.service
    equal "stop during a download: it ended well" "$(property Result)" success
    check "stop during a download: it took longer than TimeoutStopSec" test $((SECONDS - start)) -gt 2
    wait $download
    equal "stop during a download: it came whole" "$? $(stat --format=%s /tmp/large.bin)" "0 $((40 * 1024 * 1024))"
    rm -r /var/www/html/large.bin /tmp/large.bin /etc/systemd/system/otus-httpd.service.d
    systemctl daemon-reload
}

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

    # Clients come while the settings are wrong: systemd goes on trying, and they are served once the settings are right.
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

    # The document root is not there when the first visitor comes (a deploy by rm and mv, a mount that is late).
    systemctl stop otus-httpd.service 2> /dev/null
    mv /var/www/html /var/www/away
    equal "no document root: 503" "$(status_of $url/test.html) $(status_of $url/) $(status_of $url/none)" "503 503 503"
    equal "no document root: socket and service" "$(state socket) $(state service)" "active active"
    check "no document root: the status says so" wait_for 10 sh -c 'systemctl status otus-httpd | grep "DOCUMENT ROOT MISSING"'
    mv /var/www/away /var/www/html
    check "no document root: it is seen" wait_for 2 answers $url/test.html
    check "no document root: the status is well again" wait_for 10 sh -c '! systemctl status otus-httpd | grep "DOCUMENT ROOT MISSING"'
}

checking() {
    local file=/tmp/checked-settings
    # Lines that systemd and the server have to read alike.
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
    equal "check: it says nothing wrong" "$(grep -cE '^--workers +3$|^In order' /tmp/check-2) $(cat /tmp/check-1.err /tmp/check-2.err)" "2 "
    rm /tmp/*\'

    # In the sandbox, by the service's user.
    journalctl --sync
    journalctl --cursor-file=/tmp/cursor --quiet > /dev/null
    drop_in service Service "ExecStartPre=/usr/sbin/otus-httpd --check"
    check "check: in the service's sandbox" systemctl restart otus-httpd
    journalctl --sync
    check "check: as the service's user" grep 'In order; checked as user otus-httpd\.$' <(journalctl --cursor-file=/tmp/cursor -u otus-httpd)
    echo OTUS_ROOT=/home > /etc/default/otus-httpd
    check "check: it sees what the sandbox hides" sh -c '! systemctl restart otus-httpd 2> /dev/null'
    journalctl --sync
    check "check: and says so" grep 'The document root /home' <(journalctl --cursor-file=/tmp/cursor -u otus-httpd)
    rm -r /etc/systemd/system/otus-httpd.service.d
    systemctl daemon-reload
    cp /tmp/default /etc/default/otus-httpd
    systemctl reset-failed otus-httpd.service otus-httpd.socket
    systemctl restart otus-httpd
    # As the manual says.
    equal "check: by hand" "$(otus-httpd --check | tail -n 1)" "In order; checked otus-httpd.service, as user otus-httpd."
}

# has_restarted COUNT: systemd has started the service so often by itself; before 235 it does not count.
has_restarted() {
    [ "$(systemctl show --property=NRestarts otus-httpd.service | cut -d= -f2)" -ge "$1" ]
}

# systemd counts the starts of the last ten seconds, of sockets as well since 257, and this test makes many.
forget_starts() {
    systemctl reset-failed
}

# refused NAME SETTING NAMED EXIT_STATUS: the start fails, once, with one sentence that names the thing.
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

# The drop-ins of the manual, to the letter.
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

# manual_drop_in KIND HEADING: what the manual has under that heading.
manual_drop_in() {
    local directory=/etc/systemd/system/otus-httpd.$1.d
    mkdir -p "$directory"
    manual_text "$2" '[' > "$directory/override.conf"
    forget_starts
    check "the manual has a drop-in: $2" test -s "$directory/override.conf"
    systemctl daemon-reload
}

# manual_text HEADING BEGIN: what the manual has under that heading, from a line that begins so to an empty one.
manual_text() {
    awk -v heading="$1" -v begin="$2" '{sub(/^ +/, "")} $0 == heading {here = 1} here && index($0, begin) == 1 {text = 1} text && !NF {exit} text' /tmp/man
}

without_drop_ins() {
    forget_starts
    systemctl stop otus-httpd.service otus-httpd.socket
    rm -rf /etc/systemd/system/otus-httpd.{socket,service}.d
    systemctl daemon-reload
    systemctl start otus-httpd.socket
}

# over_unix_socket USER
over_unix_socket() {
    setpriv --reuid="$1" --regid="$(id -g "$1")" --clear-groups curl --silent --output /dev/null --max-time 20 --write-out '%{http_code}' \
        --unix-socket /run/otus-httpd.sock http://localhost/test.html || true
}

# Metrics and health, as the manual has it.
metrics() {
    local at=http://127.0.0.1:9180
    equal "metrics: nowhere by default" "$(status_of $at/metrics)$(status_of $url/metrics)" 000404
    check "metrics: enable" quietly systemctl enable otus-httpd-metrics.socket
    check "metrics: restart of the socket" systemctl restart otus-httpd.socket
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

    # It stays enabled: the purge must take it along.
    systemctl start otus-httpd.socket
    equal "metrics on their port again" "$(curl --silent $at/health)" ready
}

# Two further sites, as the manual has them: one for a proxy, one on a port. What happens to one is nothing to the others.
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
    # They stay enabled, and one runs: the removal must end them, and the purge leave nothing of them.
    equal "instances: from now on" "$(shop)" "the shop"
}

shop() {
    curl --silent --unix-socket /run/otus-httpd-shop.sock http://localhost/
}

# What systemd holds a service to, but for names.
confinement() {
    systemctl show "$1.service" | grep -E '^(Protect|Private|Restrict|SystemCall|Capability|Ambient|NoNew|Limit|Tasks|User|Group|Supplementary|UMask|IPAddress|Memory|Lock|NoExec|Exec(Paths)|RemoveIPC|Watchdog(USec)=|Timeout(Stop|Start)USec|Restart=|KillMode)'
}

# The service leaves when nobody comes, and its socket starts it again.
idle_exit() {
    cp /etc/default/otus-httpd /tmp/default
    echo OTUS_IDLE_EXIT=3 >> /etc/default/otus-httpd
    systemctl reset-failed
    check "idle exit: restart" systemctl restart otus-httpd
    equal "idle exit: a request" "$(status_of $url/test.html)" 200
    check "idle exit: it leaves" wait_for 10 is_inactive
    equal "idle exit: well, and the socket stays" "$(property Result) $(state socket)" "success active"
    equal "idle exit: the next request is answered" "$(status_of $url/test.html)" 200
    check "idle exit: and has started it" wait_for 5 systemctl is-active otus-httpd.service
    local before
    before=$(starts)
    python3 "$here/clients.py" pauses 3 10 > /tmp/around.log
    equal "idle exit: requests around the moment, failed" "$(cat /tmp/around.log)" "50 0"
    check "idle exit: it left in between, $(($(starts) - before)) times" test "$(starts)" -gt "$before"
    cp /tmp/default /etc/default/otus-httpd
    check "without idle exit: restart" systemctl restart otus-httpd
}

is_inactive() {
    [ "$(property ActiveState)" = inactive ]
}

starts() {
    journalctl -u otus-httpd.service | grep -cE 'Started otus-httpd(\.service| static)'
}

# sample NAME: the value of a metric
sample() {
    curl --silent http://127.0.0.1:9180/metrics | awk -v name="$1" '$1 == name {print $2}'
}

counted() {
    [ "$(sample "$1")" = "$2" ]
}

# drop_in KIND SECTION LINE...
drop_in() {
    local directory=/etc/systemd/system/otus-httpd.$1.d
    mkdir -p "$directory"
    { echo "[$2]" && printf '%s\n' "${@:3}"; } > "$directory/override.conf"
    systemctl daemon-reload
    forget_starts
}

# What Linux 4.4 does not have answers as there: each part of the server that uses it must do without.
old_kernel() {
    drop_in service Service SystemCallErrorNumber=ENOSYS "SystemCallFilter=~clone3 close_range epoll_pwait2 faccessat2 \
        landlock_add_rule landlock_create_ruleset landlock_restrict_self openat2 pidfd_open pidfd_send_signal preadv2 rseq statx"
    ln -s /etc/passwd /var/www/html/outside
    check "as on Linux 4.4: restart" systemctl restart otus-httpd
    equal "as on Linux 4.4: calls that are newer are out" "$(property SystemCallFilter | grep -oE 'openat2|statx|clone3')" ""
    check "as on Linux 4.4: no Landlock, and it is said" sh -c 'journalctl -u otus-httpd -o cat | grep -q "not confined further"'
    equal "as on Linux 4.4: a file" "$(status_of $url/test.html)" 200
    equal "as on Linux 4.4: a directory" "$(status_of $url/)" 200
    equal "as on Linux 4.4: nothing" "$(status_of $url/nothing)" 404
    equal "as on Linux 4.4: a link that leaves the document root" "$(status_of $url/outside)" 403
    ab -q -n 5000 -c 50 -r -s 60 $url/test.html > /tmp/ab.log 2>&1
    equal "as on Linux 4.4: ab" "$(ab_counts /tmp/ab.log)" "5000 0 0"
    rm -r /var/www/html/outside /etc/systemd/system/otus-httpd.service.d
    systemctl daemon-reload
    systemctl restart otus-httpd
}

# A whole new generation of workers, and old ones that end: nobody is to notice.
upgrade() {
    local before inode
    inode=$(listening_inode)
    before=$(property MainPID)
    truncate --size=28M /var/www/html/slow.bin
    open_books
    curl --silent --limit-rate 1M --output /tmp/slow.bin $url/slow.bin &
    local download=$!
    wait_for 10 test -s /tmp/slow.bin
    under_load "upgrade" strict installed "$v2"
    equal "upgrade: the version" "$(dpkg-query --showformat='${Version}' --show otus-httpd)" "$(dpkg-deb --field "$v2" Version)"
    equal "upgrade: the version that runs" "$(property StatusText | grep -o 'version .*')" "version $(dpkg-deb --field "$v2" Version)"
    equal "upgrade: the process is the same" "$(property MainPID)" "$before"
    equal "upgrade: the listening socket is the same" "$(listening_inode)" "$inode"
    wait $download
    equal "upgrade: a slow download came whole" "$? $(cmp /tmp/slow.bin /var/www/html/slow.bin && echo same)" "0 same"
    check "upgrade: the old workers are gone" wait_for 10 has_workers "$(nproc)"
    check_books "upgrade: access log"
    rm /var/www/html/slow.bin /tmp/slow.bin
}

# under_load NAME strict|loose COMMAND...: the command, while ab, wrk and four clients more want answers. Where it is loose,
# what is in flight may be lost.
under_load() {
    local name=$1 manner=$2 ab wrk clients
    shift 2
    rm -f /tmp/event /tmp/end
    ab -q -r -t 16 -n 10000000 -c 20 -s 60 $url/test.html > /tmp/ab.log 2>&1 &
    ab=$!
    # Without /etc/services it knows no port of http.
    wrk --threads 1 --connections 20 --duration 16s --timeout 60s ${url}:80/test.html > /tmp/wrk.log 2>&1 &
    wrk=$!
    python3 "$here/clients.py" around /tmp/event /tmp/end > /tmp/clients.log &
    clients=$!
    sleep 5
    touch /tmp/event
    check "$name under load" "$@"
    check "$name: the load outlasted it" kill -0 $ab $wrk
    sleep 2
    touch /tmp/end
    wait $clients
    equal "$name: the clients ended well" $? 0
    wait $ab
    equal "$name: ab ended well" $? 0
    wait $wrk
    equal "$name: wrk ended well" $? 0
    local made failed calm longest refused lost
    read -r made failed calm longest < /tmp/clients.log
    refused=$(sed -n 's/.*(Connect: \([0-9]*\),.*/\1/p' /tmp/ab.log)
    lost=$(sed -n 's/^Failed requests: *//p' /tmp/ab.log)
    echo "INFO $name: ab $(ab_counts /tmp/ab.log | cut -d ' ' -f 1) requests, wrk $(awk '/ requests in /{print $1}' /tmp/wrk.log), clients $made; 99.9 % of theirs within $calm ms before, the longest since $longest ms"
    if [ "$manner" = strict ]; then
        equal "$name: ab, failed and non-2xx" "$(ab_counts /tmp/ab.log | cut -d ' ' -f 2-)" "0 0"
        equal "$name: wrk, errors" "$(grep -E 'Socket errors|Non-2xx' /tmp/wrk.log)" ""
        equal "$name: failed requests of the clients" "$failed" 0
        # Less than a quarter of a second may be the machine's own: it unpacks a package meanwhile.
        check "$name: no request took longer than three times as long" test "$longest" -le $((calm * 3 > 250 ? calm * 3 : 250))
    else
        equal "$name: ab, refused" "${refused:-0}" 0
        equal "$name: wrk, refused" "$(sed -n 's/.*Socket errors: connect \([0-9]*\),.*/\1/p' /tmp/wrk.log | grep -v '^0$')" ""
        check "$name: no more is lost than was in flight" test "${lost:-0}" -le 20 -a "$failed" -le 4
    fi
}

# Clients wait while the old server ends what is in flight, but nobody is refused.
restart() {
    under_load "restart" loose systemctl restart otus-httpd
    equal "restart: nothing was lost" "$(ab_counts /tmp/ab.log | cut -d ' ' -f 2-) $(cut -d ' ' -f 2 /tmp/clients.log)" "0 0 0"
}

reload() {
    local before
    cp /etc/default/otus-httpd /tmp/default
    before=$(property MainPID)
    echo OTUS_WORKERS=3 >> /etc/default/otus-httpd
    check "reload: a changed setting" systemctl reload otus-httpd
    check "reload: three workers, and the old ones gone" wait_for 10 has_workers 3
    equal "reload: the process is the same" "$(property MainPID) $(property NRestarts)" "$before 0"
    check "reload: the journal says so" sh -c 'journalctl -u otus-httpd | grep "Reloaded; workers: 3"'

    echo OTUS_WORKERS=none >> /etc/default/otus-httpd
    check "reload refused: systemctl fails" sh -c '! systemctl reload otus-httpd 2> /dev/null'
    check "reload refused: the status says why" wait_for 10 sh -c \
        'systemctl show --property=StatusText otus-httpd | grep "reload refused: .*OTUS_WORKERS cannot be \"none\""'
    check "reload refused: the journal says why" sh -c 'journalctl -u otus-httpd | grep "Reload refused; .*OTUS_WORKERS cannot be"'
    check "reload refused: journalctl -x explains it" sh -c 'journalctl -x -u otus-httpd | grep "Put it right, then: systemctl reload"'
    equal "reload refused: all goes on" "$(state service) $(property MainPID) $(workers | wc -l) $(status_of $url/test.html)" "active $before 3 200"
    cp /tmp/default /etc/default/otus-httpd
    check "reload: as before" systemctl reload otus-httpd
    check "reload: as many workers as before" wait_for 10 has_workers "$(nproc)"
    equal "reload: the status has no complaint" "$(property StatusText | grep -c refused)" 0
}

killed_supervisor() {
    local before
    before=$(property MainPID)
    under_load "kill -9 of the supervisor" loose kill -KILL "$before"
    check "kill -9 of the supervisor: systemd starts another" wait_for 10 restarted "$before"
    equal "kill -9 of the supervisor: it serves" "$(status_of $url/test.html)" 200
}

removal() {
    check "remove" quietly apt-get remove --yes otus-httpd
    equal "remove: nobody listens, no process" "$(listening_inode)$(pgrep -x otus-httpd)$(ls /run/otus-httpd* 2> /dev/null)" ""
    check "remove: settings stay" test -e /etc/default/otus-httpd
    check "remove: the document root stays" test -e /var/www/html/test.html
    check "install after remove" installed "$v1"
    equal "install after remove: socket" "$(systemctl is-enabled otus-httpd.socket) $(state socket)" "enabled active"
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

    # The administrator's choice outlives an upgrade.
    installed "$v1"
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

without_rsyslog
snapshot > /tmp/before
installation
documentation
completion
first_request
status
sandbox
check_ab
killed_worker
watchdog
stop_and_start
drain
settings
checking
administration
manual
every_example
metrics
access_log_fields
access_log_at_high_rate
access_log_of_workers_that_end
access_log_in_a_journal_of_its_own
goaccess_reads_it
fail2ban_reads_it
idle_exit
instances
old_kernel
reload
restart
killed_supervisor
upgrade
removal
check "provision.sh" quietly bash "$here/provision.sh" "$v1"
finish

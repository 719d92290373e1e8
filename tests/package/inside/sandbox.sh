# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: the effect of the sandbox, and the service without the system calls that Linux 4.4 does not have.

# The effect of the sandbox, on the server's processes and on a program that tries forbidden actions.
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
    # Programs and libraries belong to root, so that the service's user cannot write there. The last of several mounts counts.
    equal "from inside: what is not read-only" "$(awk '{mode[$5] = $6} END {for (place in mode) if (mode[place] !~ /^ro/) print place}' \
        "/proc/$pid/mountinfo" | grep -v '^/run/host/' | sort | xargs)" "/dev/pts /proc$([ "$systemd" -lt 252 ] || echo " /usr/bin/kill /usr/lib /usr/lib64 /usr/sbin")"
    # The program runs in place of the server, with the same user, mounts and filter; python must be executable for that.
    drop_in service Service "ExecPaths=$(readlink --canonicalize /usr/bin/python3)" "ExecStart=" "ExecStart=/usr/bin/python3 /test/probe.py" Type=oneshot
    check "from inside: nothing that should not be done can be" systemctl restart otus-httpd
    journalctl --sync
    journalctl -u otus-httpd -o cat | grep -E '^BREACH|attempts, ' | sed 's/^/INFO /'
    without_drop_ins
}

# The process that hashes files in the background.
background_helper() {
    local pid main
    equal "helper process: the service runs" "$(status_of $url/test.html)" 200
    main=$(property MainPID)
    head -c 1048576 /dev/zero > /var/www/html/large.bin
    check "a large file is hashed by the helper process" \
        wait_for 20 sh -c "curl --silent --output /dev/null $url/large.bin; pgrep --parent $main --exact otus-helper"
    pid=$(helper)
    equal "helper process: user" "$(ps -o user= -p "$pid")" "otus-httpd"
    equal "helper process: no capability, none to gain, system calls by a list" \
        "$(awk '/^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):/ {print $2}' "/proc/$pid/status" | sort | uniq -c | xargs)" \
        "4 0000000000000000 1 1 1 2"
    check "helper process: ends when there is no work" wait_for 20 sh -c "! kill -0 $pid 2> /dev/null"
    equal "helper process: it reported nothing" "$(journalctl -u otus-httpd -o cat | grep -c "helper process")" 0
    rm /var/www/html/large.bin
}

# System calls that Linux 4.4 does not have return ENOSYS, as they would there: the server must work without them.
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

# shellcheck shell=bash
# To be sourced by life-cycle.sh: accounts that existed before the package, and changes that the administrator made, are kept.
# Each function begins and ends with the package purged.

# A user or a group of the package's name that existed before: the service uses it, and a purge keeps it.
accounts() {
    useradd --create-home --uid 1500 otus-httpd
    check "a user that was here: install" installed "$v1"
    equal "a user that was here: a login's uid is a warning" "$(grep -c 'warning: .* whose uid 1500 is no system' /tmp/output)" 1
    equal "a user that was here: it serves" "$(status_of $url/test.html) $(ps -o user= -p "$(property MainPID)")" "200 otus-httpd"
    check "a user that was here: purge" purge
    equal "a user that was here: it stays, with group and home" \
        "$(getent passwd otus-httpd | cut -d : -f 3) $(getent group otus-httpd | cut -d : -f 1) $(stat --format=%U /home/otus-httpd)" \
        "1500 otus-httpd otus-httpd"
    userdel --remove otus-httpd 2> /dev/null
    unchanged "a user that was here"

    groupadd --gid 5000 otus-httpd
    check "a group that was here: install" installed "$v1"
    equal "a group that was here: the user has it" "$(id -g otus-httpd)" 5000
    equal "a group that was here: it serves" "$(status_of $url/test.html)" 200
    check "a group that was here: purge" purge
    equal "a group that was here: it stays, and the user goes" "$(getent group otus-httpd)$(getent passwd otus-httpd)" "otus-httpd:x:5000:"
    groupdel otus-httpd
    unchanged "a group that was here"

    useradd --system --gid nogroup otus-httpd
    check "a user without a group of its name: install" installed "$v1"
    equal "a user without a group of its name: nothing to complain about" "$(complaints)" ""
    equal "a user without a group of its name: it serves" "$(status_of $url/test.html) $(property Group)" "200 otus-httpd"
    check "a user without a group of its name: purge" purge
    equal "a user without a group of its name: it stays, and the group goes" "$(id -gn otus-httpd) $(getent group otus-httpd)" "nogroup "
    userdel otus-httpd
    unchanged "a user without a group of its name"

    # Created by the package, but changed afterwards.
    installed "$v1"
    systemctl stop otus-httpd.socket otus-httpd.service
    usermod --uid 1501 otus-httpd
    check "a user made anew: purge" purge
    equal "a user made anew: it stays" "$(id -u otus-httpd)" 1501
    userdel otus-httpd
    ! getent group otus-httpd > /dev/null || groupdel otus-httpd
    unchanged "a user made anew"
}

# An upgrade keeps stopped sockets stopped, and retries failed ones.
stopped() {
    installed "$v1"
    systemctl stop otus-httpd.socket otus-httpd.service
    check "upgrade of what was stopped" installed "$v2"
    equal "upgrade of what was stopped: it stays so, and is on at the next boot" \
        "$(state socket) $(state service) $(systemctl is-enabled otus-httpd.socket)" "inactive inactive enabled"
    purge

    installed "$v1"
    systemctl mask --now --quiet otus-httpd.socket
    check "upgrade of what was masked" installed "$v2"
    equal "upgrade of what was masked: it stays so" "$(state socket) $(systemctl is-enabled otus-httpd.socket)" "inactive masked"
    systemctl unmask --quiet otus-httpd.socket
    purge

    systemctl mask --quiet otus-httpd.socket 2> /dev/null
    check "masked before the first installation: install" installed "$v1"
    equal "masked before the first installation: it stays so" "$(state socket) $(systemctl is-enabled otus-httpd.socket)" "inactive masked"
    systemctl unmask --quiet otus-httpd.socket
    purge

    python3 -m http.server 80 > /dev/null 2>&1 &
    local other=$!
    wait_for 10 answers $url/
    check "port taken: install" installed "$v1"
    equal "port taken: it is said" "$(grep -c 'otus-httpd.socket could not be started; its address may be in use' /tmp/output)" 1
    kill $other
    wait $other 2> /dev/null
    check "port free again: upgrade" installed "$v2"
    equal "port free again: the upgrade opens it" "$(state socket) $(status_of $url/test.html)" "active 200"
    purge

    printf '%s\n' '#!/bin/sh' 'exit 101' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    check "policy-rc.d says no: install" installed "$v1"
    equal "policy-rc.d says no: nothing starts" "$(state socket) $(systemctl is-enabled otus-httpd.socket)" "inactive enabled"
    systemctl start otus-httpd.socket
    status_of $url/test.html > /dev/null
    local before
    before=$(property MainPID)
    check "policy-rc.d says no: upgrade" installed "$v2"
    equal "policy-rc.d says no: what runs goes on" "$(state socket) $(property MainPID) $(status_of $url/test.html)" "active $before 200"
    rm /usr/sbin/policy-rc.d
    purge
    unchanged "stopped, masked and denied"
}

# As on Ubuntu 16.04: /lib is a real directory, and deb-systemd-helper searches /lib and /etc, not /usr/lib.
old_helper() {
    if [ -L /lib ]; then
        return
    fi
    local helper
    helper=$(command -v deb-systemd-helper)
    cp --preserve "$helper" /tmp/helper
    python3 - "$helper" << 'END'
import pathlib, re, sys

path = pathlib.Path(sys.argv[1])
text, count = re.subn(r'\} elsif \(-f "[^"]*/usr/lib/systemd/[^{]*\{[^}]*', "", path.read_text())
assert count == 1, "deb-systemd-helper is not as expected"
path.write_text(text)
END
    check "an old deb-systemd-helper: it does not find the units" \
        sh -c '! DPKG_MAINTSCRIPT_PACKAGE=otus-httpd deb-systemd-helper enable otus-httpd.socket 2> /dev/null'
    check "an old deb-systemd-helper: install" installed "$v1"
    equal "an old deb-systemd-helper: nothing to complain about" "$(complaints)" ""
    equal "an old deb-systemd-helper: enabled and active" "$(systemctl is-enabled otus-httpd.socket) $(state socket)" "enabled active"
    systemctl enable --quiet otus-httpd-metrics.socket
    check "an old deb-systemd-helper: upgrade" installed "$v2"
    equal "an old deb-systemd-helper: enabled and active still" "$(systemctl is-enabled otus-httpd.socket) $(state socket)" "enabled active"
    quietly apt-get remove --yes otus-httpd
    check "an old deb-systemd-helper: install after remove" installed "$v1"
    equal "an old deb-systemd-helper: as before" "$(systemctl is-enabled otus-httpd.socket) $(state socket)" "enabled active"
    systemctl disable --quiet otus-httpd.socket
    installed "$v2"
    equal "an old deb-systemd-helper: disabled stays disabled" "$(systemctl is-enabled otus-httpd.socket)" disabled
    systemctl enable --quiet otus-httpd.socket
    purged "an old deb-systemd-helper"
    cp --preserve /tmp/helper "$helper"
    unchanged "an old deb-systemd-helper"
}

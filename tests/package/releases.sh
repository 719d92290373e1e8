# shellcheck shell=bash
# To be sourced: the Debian releases that the package is tested on, and the packages that the tests need there.

# Debian 12, 13 and 11: systemd 252, 257 and 247.
RELEASES=(bookworm trixie bullseye)

# rootfs_of SUITE: prints the path of its root file system
rootfs_of() {
    local packages=(python3 man-db wrk fail2ban python3-systemd nftables goaccess rsyslog)
    # lintian of Debian 12 is installed on the machine that runs the tests.
    [ "$1" != trixie ] || packages+=(lintian)
    # An ACME server for tests, and its client.
    packages+=(pebble certbot)
    "$(dirname "${BASH_SOURCE[0]}")/rootfs" "$1" "${packages[@]}"
}

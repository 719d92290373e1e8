# shellcheck shell=bash
# To be sourced: the Debian releases that the package is tested on, and what has to be installed there for that.

# Debian 12, 13 and 11: systemd 252, 257 and 247.
RELEASES=(bookworm trixie bullseye)

# rootfs_of SUITE: prints the path of its root file system
rootfs_of() {
    local packages=(python3 man-db wrk fail2ban python3-systemd nftables goaccess rsyslog)
    # Debian 12 is what these tests run on: its lintian is there already.
    [ "$1" != trixie ] || packages+=(lintian)
    "$(dirname "${BASH_SOURCE[0]}")/rootfs" "$1" "${packages[@]}"
}

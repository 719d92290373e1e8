# shellcheck shell=bash
# To be sourced: a container with systemd as process 1, on a temporary layer over a root file system of ./rootfs.
#   boot ROOTFS        waits until systemd has started everything
#   inside COMMAND...  runs a command in it, as root
#   put FILE PATH      copies a file into it
# It is powered off and removed when the sourcing script ends. It has a separate network, so that no ports conflict.

machine=
nspawn=
leader=

# wait_for SECONDS COMMAND...: until the command succeeds; its output is not shown.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

# Prints why no container can run here, or nothing.
no_container() {
    if [ "$(id -u)" != 0 ]; then
        echo "a container needs root"
    elif ! unshare --mount --pid --net --ipc --uts --fork true 2> /dev/null; then
        echo "this machine does not allow new namespaces"
    elif [ ! -d /run/systemd/system ] && ! [ -w /sys/fs/cgroup/systemd/cgroup.procs ] && ! [ -w /sys/fs/cgroup/cgroup.procs ]; then
        echo "there is no systemd and no control group hierarchy to write to"
    fi
}

boot() {
    machine=$(mktemp -d "${BUILD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otus-httpd}/machine.XXXXXX")
    mkdir "$machine"/{upper,work,root}
    trap power_off EXIT
    # The filter and the capabilities are for systemd's IPAddressDeny= programs and for Landlock in the workers.
    local spawn=(systemd-nspawn --quiet --settings=no --directory="$machine/root" --hostname=testbed --boot
        --register=no --keep-unit --console=pipe --private-network --link-journal=no
        --capability=CAP_BPF,CAP_PERFMON "--system-call-filter=bpf landlock_add_rule landlock_create_ruleset landlock_restrict_self")
    unshare --mount --propagation private bash -c '
        set -e
        rootfs=$1 machine=$2
        shift 2
        if [ -d /run/systemd/system ]; then
            as_unit=(systemd-run --quiet --scope --property=Delegate=yes)
        else
            # Without systemd on the host, nspawn needs a separate control group and a separate /run/systemd.
            as_unit=()
            for hierarchy in systemd unified .; do
                [ -e /sys/fs/cgroup/$hierarchy/cgroup.procs ] || continue
                mkdir -p "/sys/fs/cgroup/$hierarchy/${machine##*/}/own"
                echo $$ > "/sys/fs/cgroup/$hierarchy/${machine##*/}/own/cgroup.procs"
            done
            mkdir -p /run/systemd
            mount -t tmpfs tmpfs /run/systemd
        fi
        # If the file system cannot be the upper layer of an overlay, the root file system is copied.
        mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$machine/upper,workdir=$machine/work" "$machine/root" ||
            cp -a "$rootfs/." "$machine/root/"
        exec "${as_unit[@]}" "$@"
    ' boot "$1" "$machine" "${spawn[@]}" < /dev/null > "$machine/console" 2>&1 &
    nspawn=$!
    if ! wait_for 30 find_leader || ! wait_for 60 is_up; then
        echo "the container did not start; its console:" >&2
        tail -n 30 "$machine/console" >&2
        return 1
    fi
}

find_leader() {
    leader=$(pgrep --parent "$nspawn" --exact systemd) && [ -n "$leader" ]
}

# degraded, which is a failing status, is accepted: Debian's fail2ban does not start with its default configuration.
is_up() {
    [[ $(inside systemctl is-system-running) =~ ^(running|degraded)$ ]]
}

inside() {
    nsenter --target "$leader" --mount --uts --ipc --net --pid -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 "$@"
}

put() {
    inside sh -c 'mkdir -p "$(dirname "$1")" && cat > "$1"' put "$2" < "$1"
}

power_off() {
    local hierarchy
    if [ -n "$nspawn" ] && kill -0 "$nspawn" 2> /dev/null; then
        inside systemctl poweroff > /dev/null 2>&1 || true
        wait_for 20 gone || kill -KILL "${leader:-$nspawn}" 2> /dev/null || true
        wait "$nspawn" 2> /dev/null || true
    fi
    for hierarchy in systemd unified .; do
        [ ! -d "/sys/fs/cgroup/$hierarchy/${machine##*/}" ] ||
            find "/sys/fs/cgroup/$hierarchy/${machine##*/}" -depth -type d -exec rmdir {} + 2> /dev/null || true
    done
    rm -rf --one-file-system "$machine"
}

gone() {
    ! kill -0 "$nspawn"
}

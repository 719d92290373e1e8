#!/bin/bash
# Runs inside the container: the package from installation to purge.
#   life-cycle.sh V1.deb V2.deb
set -uo pipefail
here=$(dirname "$0")
. "$here/checks.sh"
. "$here/installation.sh"
. "$here/service.sh"
. "$here/sandbox.sh"
. "$here/settings.sh"
. "$here/access.sh"
. "$here/administration.sh"
. "$here/drop-ins.sh"
. "$here/examples.sh"
. "$here/metrics.sh"
. "$here/access-log.sh"
. "$here/rsyslog.sh"
. "$here/acme.sh"
. "$here/https.sh"
. "$here/instances.sh"
. "$here/under-load.sh"
. "$here/removal.sh"
. "$here/accounts.sh"
v1=$1 v2=$2
export DEBIAN_FRONTEND=noninteractive
url=http://127.0.0.1
units=/usr/lib/systemd/system
systemd=$(systemctl --version | awk 'NR == 1 {print $2}')
# The directives that this systemd does not know; it says so, and goes on without.
unknown=none
[ "$systemd" -ge 252 ] || unknown='ExecPaths|NoExecPaths|PrivateIPC'

without_rsyslog
snapshot > /tmp/before
installation
documentation
completion
first_request
status
sandbox
background_helper
check_ab
killed_worker
watchdog
stop_and_start
drain
settings
mounts
access_rules
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
https
instances
old_kernel
reload
restart
killed_supervisor
upgrade
removal
check "provision.sh" quietly bash "$here/provision.sh" "$v1"
finish

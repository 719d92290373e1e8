# shellcheck shell=bash disable=SC2154
# To be sourced by life-cycle.sh: what the package installs: units, manual pages, settings file, completions.

installed() {
    quietly apt-get install --yes --no-install-recommends "$1"
}

complaints() {
    grep -iE 'warn|error|could not|not executed|failed|^[EW]:' /tmp/output
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
    systemd-analyze verify $units/otus-httpd.{socket,service} $units/otus-httpd-{https,metrics}.socket $units/otus-httpd-keys.{socket,service} $units/otus-httpd@.{socket,service} > /tmp/output 2>&1
    equal "units: systemd-analyze verify" "$? $(grep -vE "Unknown key name '($unknown)'" /tmp/output)" "0 "
    equal "socket for metrics neither enabled nor active" "$(systemctl is-enabled otus-httpd-metrics.socket) $(systemctl is-active \
        otus-httpd-metrics.socket)" "disabled inactive"
    equal "socket for HTTPS neither enabled nor active" "$(systemctl is-enabled otus-httpd-https.socket) $(systemctl is-active \
        otus-httpd-https.socket)" "disabled inactive"
    equal "the directory of challenges is for root to write" "$(stat --format='%U %a' /var/lib/otus-httpd/acme)" "root 755"
    equal "catalog: systemd has taken every entry" "$(journalctl --list-catalog | grep -c ' otus-httpd: ')" \
        "$(grep -c '^-- ' /usr/lib/systemd/catalog/otus-httpd.catalog)"
    # systemd before 252 does not know all directives of these units, and cannot analyze a file.
    if [ "$systemd" -ge 252 ]; then
        check "units: exposure at most 0.2" systemd-analyze --no-pager --threshold=2 security otus-httpd.service
        check "units: exposure of the key process at most 0.8" systemd-analyze --no-pager --threshold=8 security otus-httpd-keys.service
        exposure_of_peers
    fi
    equal "man page renders without a complaint" "$(man --warnings otus-httpd 2>&1 > /tmp/man)" ""
    equal "man page of the settings renders without a complaint" "$(man --warnings 5 otus-httpd 2>&1 > /tmp/man5)" ""
    equal "man page: its sections" "$(grep -E '^[A-Z]' /tmp/man | grep -vE '^OTUS-HTTPD' | paste -sd ';')" "NAME;SYNOPSIS;DESCRIPTION;REQUEST PROCESSING;HTTP/2;ENTITY TAGS;VARIANTS;FILES THAT CHANGE;DOCUMENT ROOT;CERTIFICATES;HTTPS;\
OPTIONS;CONFIGURATION CHECK;PRECOMPRESSION;CHECK OF A SITE;ENVIRONMENT;SOCKET ACTIVATION;INSTANCES;BEHIND A PROXY;MORE THAN ONE MACHINE;ACCESS LOG;METRICS;HEALTH;RELOAD;STATUS;SANDBOX;DROP-INS;SIGNALS;EXIT STATUS;FILES;EXAMPLES;SEE ALSO"
    equal "man page of the settings: its sections" "$(grep -E '^[A-Z]' /tmp/man5 | grep -vE '^OTUS-HTTPD' | paste -sd ';')" \
        "NAME;SYNOPSIS;DESCRIPTION;FORMAT;SITE;ACCESS;PROXIES;CAPACITY;REQUESTS;TIMEOUTS;LOG;ADDRESS AND USER;EXAMPLES;SEE ALSO"
    equal "man page of sites renders without a complaint" "$(man --warnings otus-httpd-site 2>&1 > /tmp/man-site)" ""
    equal "man page of sites: its sections" "$(grep -E '^[A-Z]' /tmp/man-site | grep -vE '^OTUS-HTTPD' | paste -sd ';')" \
        "NAME;DESCRIPTION;RULES;NAMES OF PAGES;CACHING;COMPRESSION;SITES;ACCESS;ERROR PAGES;GENERATORS;SEE ALSO"
}

# Compares the exposure with that of Debian's units of other web servers: 0 is the lowest, 10 the highest.
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

# The two manual pages and the settings file have every option of the server.
documentation() {
    local options variables
    options=$(otus-httpd --help | grep -oE -- '--[a-z0-9-]+' | sort -u)
    variables=$(otus-httpd --help | grep -oE 'OTUS_[A-Z0-9_]+' | sort -u)
    equal "the manual has every option" "$(comm -23 <(echo "$options") <(grep -oE -- '--[a-z0-9-]+' /tmp/man | sort -u))" ""
    equal "the manual has every variable" "$(comm -23 <(echo "$variables") <(cat /tmp/man /tmp/man5 | grep -oE 'OTUS_[A-Z0-9_]+' | sort -u))" ""
    equal "the manual describes every setting" "$(comm -23 <(grep -v OTUS_SETTINGS <<< "$variables") <(grep -oE '^ +OTUS_[A-Z0-9_]+, ' /tmp/man5 | tr -d ' ,' | sort -u))" ""
    # The settings file cannot name itself, and four settings have no effect on a service.
    equal "the settings file has every variable" "$(grep -vxE 'OTUS_(SETTINGS|HOST|PORT|HTTPS_PORT|USER)' <<< "$variables")" "$(grep -oE '^#OTUS_[A-Z0-9_]+=' /etc/default/otus-httpd | tr -d '#=' | sort -u)"
    equal "the settings file sets nothing" "$(grep -vE '^(#.*)?$' /etc/default/otus-httpd)" ""
    # Defaults in the settings file must be those of --help.
    equal "the settings file tells the server's defaults" "$(sed -nE 's/^#(OTUS_[A-Z0-9_]+)=(.*)/\1=\2/p' /etc/default/otus-httpd |
        grep -vE '^OTUS_(ACCESS_LOG|ALLOW|AUTH|AUTH_OVER_HTTP|CERTIFICATES|CHARSET|CLIENT_ADDRESS_HEADER|FORWARDED_HOST|HEALTH_PATH|WORKERS|DEBUG|DOTFILES|HSTS|IDLE_EXIT|LISTING|MAX_PER_CLIENT|MIME|MIME_TYPES|REDIRECT_TO_HTTPS|SITES|STOP_TIMEOUT|TICKET_KEYS|TRUSTED_PROXIES)=' | sort)" "$(otus-httpd --help | tr -s ' \n' ' ' |
        grep -oE 'env: OTUS_[A-Z0-9_]+=\]( \[default: [^]]+\])?' | sed -nE 's/env: (OTUS_[A-Z0-9_]+=)\] \[default: (.*)\]/\1\2/p' |
        grep -vE '^OTUS_(HOST|PORT)=' | sort)"
}

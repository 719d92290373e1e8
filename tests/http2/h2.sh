# shellcheck shell=bash
# To be sourced: h2 of PyPI, in an environment of its own ($H2/bin/python) with exactly the files in requirements.txt.

BUILD_CACHE=${BUILD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/otus-httpd}
requirements=$(dirname "${BASH_SOURCE[0]}")/requirements.txt
H2=$BUILD_CACHE/h2-$(sha256sum "$requirements" | cut --bytes=1-16)

install_h2() {
    [ ! -e "$H2/complete" ] || return 0
    rm -rf "$H2"
    mkdir -p "$BUILD_CACHE"
    { python3 -m venv "$H2" &&
        "$H2/bin/pip" --quiet --disable-pip-version-check install --require-hashes --requirement "$requirements" &&
        touch "$H2/complete"; } || { echo "FAIL h2: it cannot be installed from PyPI" && return 1; }
}

#!/bin/bash
# Bring a Debian machine to where Septum runs: missing Debian packages, then .venv/ from pinned
# requirements. Silent and quick when all is there. --python-only leaves Debian packages alone.
# SEPTUM_VENV is another place than .venv, and SEPTUM_PYTHON the Python that it is made from.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(openvswitch-switch mininet iputils-ping iperf3 ethtool iproute2 curl ncat nmap
    dropbear-bin dnsmasq-base bind9-dnsutils redis-tools rsync tcpdump procps python3-venv)
REQUIREMENTS=(requirements-build.txt requirements.txt requirements-dev.txt)
VENV=${SEPTUM_VENV:-.venv}
STAMP=$VENV/.septum-setup
POLICY=/usr/sbin/policy-rc.d

log=$(mktemp "${TMPDIR:-/tmp}/septum-setup.XXXXXX")
held=
finish() {
    rm -f "$log"
    if [ -n "$held" ]; then rm -f "$POLICY"; fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { echo "setup: $*"; }
# One line: what failed, the tool's own reason, and what to do.
fail() { echo "setup: $*" >&2; exit 1; }
reason() { grep -E "$1" "$log" | tail -n 1 | cut -c 1-300 || true; }

# --- Debian packages -------------------------------------------------------------------------
missing_packages() {
    local installed
    installed=" $(dpkg-query -W -f '${Package}/${db:Status-Status} ' "$@" 2>/dev/null || true)"
    for package in "$@"; do
        [[ $installed == *" $package/installed "* ]] || echo "$package"
    done
}

# Packages must not bring up services of their own: Open vSwitch is started when it is needed.
hold_services() {
    if [ ! -e "$POLICY" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$POLICY"
        chmod 755 "$POLICY"
        held=yes
    fi
}

apt_install() {
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" \
        < /dev/null >> "$log" 2>&1
}

install_packages() {
    command -v dpkg-query > /dev/null && command -v apt-get > /dev/null ||
        fail "this is not a Debian system (no dpkg or apt-get); Septum is set up on Debian 12"
    local missing
    mapfile -t missing < <(missing_packages "$@")
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    [ "$(id -u)" -eq 0 ] ||
        fail "needs root to install Debian packages: run as root, or install ${missing[*]} first"
    say "installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    hold_services
    # The package lists may be absent or old: update only when the first attempt fails.
    apt_install "${missing[@]}" ||
        { apt-get -q update < /dev/null > "$log" 2>&1 && apt_install "${missing[@]}"; } ||
        fail "cannot install Debian packages ${missing[*]}: $(reason '^(E|W|Err):?')" \
            "(check the network and /etc/apt/sources.list)"
    if [ -n "$held" ]; then rm -f "$POLICY"; held=; fi
}

# --- Python ------------------------------------------------------------------------------------
suits() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
        2> /dev/null
}

find_python() {
    if [ -n "${SEPTUM_PYTHON:-}" ]; then
        suits "$SEPTUM_PYTHON" || fail "$SEPTUM_PYTHON is no Python 3.11 or 3.12 with venv"
        command -v "$SEPTUM_PYTHON"
        return
    fi
    for candidate in /usr/bin/python3 python3.11 python3.12 python3; do
        if suits "$candidate"; then command -v "$candidate"; return; fi
    done
    fail "needs Python 3.11 or 3.12 with venv (Debian: apt-get install python3-venv)"
}

fingerprint() {
    { pwd -P; cat "${REQUIREMENTS[@]}" setup.cfg pyproject.toml scripts/setup.sh; } | sha256sum
}

# pip's last line only says that nothing was found; the cause stands in its retries.
pip_reason() {
    local network
    network=$(sed -n "s/.*connection broken by '\(.*\)': .*/\1/p" "$log" | tail -n 1 | cut -c 1-300)
    if [ -n "$network" ]; then echo "$network"; else reason '^ *(ERROR|error)'; fi
}

pip_install() {
    "$VENV/bin/python" -m pip install --quiet --no-input --no-deps --no-build-isolation \
        --disable-pip-version-check "$@" < /dev/null > "$log" 2>&1 ||
        fail "cannot install Python packages ($*): $(pip_reason)" \
            "(check the network and pip's index settings)"
}

make_venv() {
    local wanted python
    wanted=$(fingerprint)
    if [ "$(cat "$STAMP" 2> /dev/null)" = "$wanted" ] && "$VENV/bin/python" -c '' 2> /dev/null; then
        return
    fi
    if ! { "$VENV/bin/python" -c '' && "$VENV/bin/python" -m pip --version; } > /dev/null 2>&1; then
        python=$(find_python)
        say "making $VENV with $("$python" --version)"
        rm -rf "$VENV"
        "$python" -m venv "$VENV" > "$log" 2>&1 || fail "cannot make $VENV: $(tail -n 1 "$log")"
    fi
    rm -f "$STAMP"
    say "installing Python packages into $VENV"
    export PIP_RETRIES=${PIP_RETRIES:-2}
    pip_install -r requirements-build.txt
    pip_install -r requirements.txt -r requirements-dev.txt
    pip_install --editable .
    # Mininet comes from Debian; the link shows it, and nothing else of Debian's, to the environment.
    ln -sfn /usr/lib/python3/dist-packages/mininet \
        "$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mininet"
    echo "$wanted" > "$STAMP"
    say "done"
}

# Two set-ups at once would step on each other: the second waits for the first.
exec 9< scripts/setup.sh
flock 9
if [ "${1:-}" != --python-only ]; then
    install_packages "${PACKAGES[@]}"
elif ! suits /usr/bin/python3 && ! suits python3.11 && ! suits python3.12 && ! suits python3 &&
    [ ! -x "$VENV/bin/python" ]; then
    install_packages python3-venv
fi
make_venv

# Shared by the scripts beside this folder; sourced, never run. Bash.
#
# What is here knows how to speak and how to install from the distribution; which packages Slipway
# needs is said in scripts/lib/packages.sh, once.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ROOT

# Administrators' programs (dockerd, ip) are not in every user's PATH on Debian, and cargo puts
# what it installs below the home directory.
PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# version_at_least HAVE WANT: whether dotted version HAVE is WANT or newer.
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

need_root() {
    [ "$(id -u)" -eq 0 ] || die "$1 has to run as root: it $2."
}

# distribution: prints one of debian-12, debian-13, ubuntu-24.04 (a newer release counts as the
# newest known one), or fails.
distribution() {
    local ID='' VERSION_ID=''
    # shellcheck source=/dev/null
    [ -r /etc/os-release ] && . /etc/os-release
    case "$ID" in
        debian)
            # Testing and unstable have no number; they are newer than any.
            case "${VERSION_ID:-99}" in
                [0-9] | 10 | 11) return 1 ;;
                12) echo debian-12 ;;
                *) echo debian-13 ;;
            esac ;;
        ubuntu)
            version_at_least "$VERSION_ID" 24.04 && echo ubuntu-24.04 ;;
        *) return 1 ;;
    esac
}

# The package's state as dpkg has it: installed, half-configured, …; nothing if it never was.
package_state() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true; }
installed() { [ "$(package_state "$1")" = installed ]; }

# A package that installs a service also starts it, on every address. These are wanted for their
# programs only: Slipway's scripts and tests start them themselves, on loopback, and stop them again.
# PACKAGE=UNIT, or UNITs with commas between.
PROGRAMS_ONLY="docker-registry=docker-registry postgresql=postgresql openssh-server=ssh.service,ssh.socket"

# apt_install PACKAGE...: installs those that are missing; says nothing when none is.
apt_install() {
    local missing=() package unit
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    need_root "this step" "installs ${missing[*]}"

    say "Installing from the distribution: ${missing[*]}"
    if [ -z "${LISTS_ARE_NEW:-}" ]; then
        apt_quietly update || warn "the package lists could not be brought up to date; trying with the old ones."
        LISTS_ARE_NEW=yes
    fi
    keep_services_off
    local failed=0
    apt_quietly install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}" || failed=1
    let_services_be
    [ "$failed" -eq 0 ] || die "the distribution's packages could not be installed; what apt-get said is above."

    [ -d /run/systemd/system ] || return 0
    local of
    for of in $PROGRAMS_ONLY; do
        [[ " ${missing[*]} " == *" ${of%%=*} "* ]] || continue
        # Not every distribution has all of the units.
        for unit in $(tr ',' ' ' <<<"${of#*=}"); do
            systemctl disable --quiet --now "$unit" 2>/dev/null || true
        done
    done
}

# apt_quietly ARGUMENT...: apt-get without questions, heard only when it fails.
apt_quietly() {
    local log status=0
    log=$(mktemp)
    DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >"$log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

# Debian asks /usr/sbin/policy-rc.d before it starts a service; one that is there already is left
# alone (container images have one that refuses everything). Without systemd, as in a chroot, nothing
# is started: an init script that cannot would fail the installation.
keep_services_off() {
    POLICY=/usr/sbin/policy-rc.d
    if [ -e "$POLICY" ]; then
        POLICY=''
        return
    fi
    trap let_services_be EXIT
    cat >"$POLICY" <<'POLICY_RC'
#!/bin/sh
[ -d /run/systemd/system ] || exit 101
case "$1" in docker-registry* | postgresql*) exit 101 ;; esac
exit 0
POLICY_RC
    chmod 755 "$POLICY"
}

let_services_be() {
    [ -z "${POLICY:-}" ] || rm -f "$POLICY"
    POLICY=''
}

# What a machine needs, and how each piece is had. Sourced after common.sh. Bash.

# Node packages that tests read: the providers' published schemas, and axe, which says what of a page
# somebody cannot use. The versions are pinned so that a test never fails because somebody else
# published something.
NODE_PACKAGES=(@octokit/openapi@23.0.2 @octokit/webhooks-schemas@7.6.1 @octokit/webhooks-examples@7.6.1 axe-core@4.14.1)
NEXTEST_VERSION=0.9.143
DENY_VERSION=0.20.2

# To build Slipway, and to run it with its demonstration.
install_base() {
    apt_install ca-certificates curl gcc libc6-dev pkg-config mold \
        git git-lfs openssh-client busybox-static docker-registry iproute2
    install_docker
    install_for_machines
}

# Rootless machines: ids of their own, a network of their own, and a Debian to start from.
install_for_machines() {
    apt_install uidmap slirp4netns nftables mmdebstrap debian-archive-keyring
    lend_ids
}

# Ids for ten machines at once, for the user that runs this and has none yet: behind all that are lent already.
lend_ids() {
    local user file last
    user=$(id -un)
    for file in /etc/subuid /etc/subgid; do
        grep -qs "^$user:" "$file" && continue
        need_root "lending ids to $user" "writes $file"
        touch "$file"
        last=$(awk -F: '{ end = $2 + $3; if (end > last) last = end } END { print last < 1000000 ? 1000000 : last }' "$file")
        say "Lending $user 655360 ids from $last on in $file"
        printf '%s:%s:655360\n' "$user" "$last" >>"$file"
    done
}

install_docker() {
    # An engine that did not come from the distribution brings its own client and plugins.
    if have dockerd; then
        case "$(package_state docker.io)" in '' | not-installed | config-files) return ;; esac
    fi
    case "$DISTRIBUTION" in
        debian-12) apt_install docker.io docker-compose ;;
        debian-13) apt_install docker.io docker-cli docker-buildx docker-compose ;;
        ubuntu-24.04) apt_install docker.io docker-buildx docker-compose-v2 ;;
    esac
}

# A toolchain that is there and new enough is used. Otherwise the distribution's rustup gets one.
install_rust() {
    local want found
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
    found=$(cd "$ROOT" && rustc --version 2>/dev/null | cut -d ' ' -f 2) || true
    if [ -n "$found" ]; then
        version_at_least "${found%%-*}" "$want" && return
        die "Rust $found is too old: Slipway needs $want or newer. Run 'rustup update stable', or remove the old one and start again."
    fi
    if ! have rustup; then
        [ "$DISTRIBUTION" != debian-12 ] || die "there is no Rust here, and Debian 12 has none that is new enough.
Install Rust $want or newer with rustup, as https://rustup.rs says, and start again."
        apt_install rustup
    fi
    say "Installing the stable Rust toolchain with rustup"
    rustup -q default stable || die "rustup could not install a toolchain; what it said is above."
}

# Networks and user file systems for builds: distributions leave these devices open to everybody,
# some sandboxes do not.
open_devices() {
    local device
    for device in /dev/net/tun /dev/fuse; do
        [ -e "$device" ] || continue
        [ "$(stat -c %a "$device")" = 666 ] && continue
        say "Letting every user open $device"
        chmod 666 "$device" || warn "$device stays closed to other users; builds in rootless machines may fail."
    done
}

# What only tests need: PostgreSQL, a browser, the providers' schemas, cargo's helpers.
install_for_tests() {
    apt_install postgresql openssh-server
    install_browser
    install_node_packages
    install_cargo_tool cargo-nextest "$NEXTEST_VERSION"
    install_cargo_tool cargo-deny "$DENY_VERSION"
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        die "the tests need rustfmt and clippy; run 'rustup component add rustfmt clippy'."
}

install_browser() {
    have chromium && have chromedriver && return
    if [ "$DISTRIBUTION" = ubuntu-24.04 ]; then
        warn "Ubuntu ships Chromium as a snap, which this script does not install.
Put 'chromium' and 'chromedriver' into PATH (for one: snap install chromium); without them the browser tests fail."
        return
    fi
    apt_install chromium chromium-driver fonts-dejavu-core
}

install_node_packages() {
    local package missing=()
    for package in "${NODE_PACKAGES[@]}"; do
        grep -qs "\"version\": *\"${package##*@}\"" "$ROOT/.tools/node_modules/${package%@*}/package.json" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    have npm || apt_install nodejs npm
    say "Installing packages that tests read: ${NODE_PACKAGES[*]}"
    mkdir -p "$ROOT/.tools"
    npm install --prefix "$ROOT/.tools" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
        "${NODE_PACKAGES[@]}" </dev/null >/dev/null || die "npm could not install them; what it said is above."
}

# These are run, never measured: built for the shortest installation rather than for speed.
install_cargo_tool() {
    have "$1" && return
    say "Installing $1 $2 with cargo; on two cores this takes some minutes"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 \
        cargo install --quiet --locked "$1" --version "$2" || die "cargo could not install $1; what it said is above."
}

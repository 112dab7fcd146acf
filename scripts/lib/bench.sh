# What scripts/bench measures; sourced, never run. Bash.

# The program as it is shipped, and what measures it.
bench_build() {
    (cd "$ROOT" && cargo build --quiet --release --locked -p slipway -p slipway-bench) ||
        die "Slipway could not be built; see above."
    BENCH_PROGRAMS=${CARGO_TARGET_DIR:-$ROOT/target}/release
}

# A place of its own on a disk (a file system in memory syncs nothing), gone at the end with all that was started.
bench_place() {
    BENCH_DIR=$(mktemp -d /var/tmp/slipway-bench.XXXXXX)
    trap bench_clean EXIT
}

bench_clean() {
    [ -z "${BENCH_POSTGRES:-}" ] || bench_as_postgres "$BENCH_POSTGRES/pg_ctl" -D "$BENCH_DIR/pg" -m fast -w stop >/dev/null || true
    rm -rf "$BENCH_DIR"
}

# PostgreSQL refuses to run as root.
bench_as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && setpriv --reuid postgres --regid postgres --init-groups "$@")
    else
        "$@"
    fi
}

# PostgreSQL with its own defaults: fsync and synchronous_commit are on. Only on a socket.
bench_postgres() {
    local programs
    programs=$(find /usr/lib/postgresql -maxdepth 2 -name bin -type d 2>/dev/null | sort -V | tail -n 1)
    [ -n "$programs" ] || die "PostgreSQL is not installed; scripts/setup --tests installs it."
    mkdir "$BENCH_DIR/pg"
    chmod 711 "$BENCH_DIR"
    [ "$(id -u)" -ne 0 ] || chown postgres "$BENCH_DIR/pg"
    bench_as_postgres "$programs/initdb" -D "$BENCH_DIR/pg" --auth=trust --username=slipway >/dev/null
    bench_as_postgres "$programs/pg_ctl" -D "$BENCH_DIR/pg" -l "$BENCH_DIR/pg/log" -w \
        -o "-c listen_addresses= -c unix_socket_directories=$BENCH_DIR/pg" start >/dev/null
    BENCH_POSTGRES=$programs
}

bench_receive() {
    local deliveries=500000 seconds=60 databases="sqlite postgres" database url=()
    while [ $# -gt 0 ]; do
        [ $# -gt 1 ] || die "$1 needs a value."
        case "$1" in
            --deliveries) deliveries=$2 ;;
            --seconds) seconds=$2 ;;
            --db) databases=$2 ;;
            *) usage >&2; die "'$1' is no option of scripts/bench receive." ;;
        esac
        shift 2
    done
    bench_build
    bench_place
    for database in $databases; do
        url=()
        case "$database" in
            sqlite) ;;
            postgres)
                bench_postgres
                url=(--database-url "postgres://slipway@localhost/postgres?host=$BENCH_DIR/pg") ;;
            *) die "'$database' is no database that Slipway knows." ;;
        esac
        mkdir -m 700 "$BENCH_DIR/$database"
        "$BENCH_PROGRAMS/slipway-bench" receive --slipway "$BENCH_PROGRAMS/slipway" --data "$BENCH_DIR/$database" \
            --deliveries "$deliveries" --seconds "$seconds" ${url[@]+"${url[@]}"}
        rm -rf "${BENCH_DIR:?}/$database"
    done
}

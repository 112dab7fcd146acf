# What scripts/bench measures; sourced, never run. Bash.

# The program as it is shipped, and what measures it.
bench_build() {
    # One by one: what the measuring program needs of a library is not in the shipped one.
    (cd "$ROOT" && cargo build --quiet --release --locked -p slipway &&
        cargo build --quiet --release --locked -p slipway-bench) || die "Slipway could not be built; see above."
    BENCH_PROGRAMS=${CARGO_TARGET_DIR:-$ROOT/target}/release
}

# A place of its own on a disk (a file system in memory syncs nothing), gone at the end with all that was started.
bench_place() {
    BENCH_DIR=$(mktemp -d /var/tmp/slipway-bench.XXXXXX)
    trap bench_clean EXIT
}

bench_clean() {
    [ -z "${BENCH_MEMORY:-}" ] || rm -rf "$BENCH_MEMORY"
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
    # Where two servers are measured, each has a database of its own.
    "$programs/createdb" --host "$BENCH_DIR/pg" --username slipway second
}

# What Slipway is measured beside, from PyPI; kept for the next time.
bench_buildbot() {
    local version=4.3.0
    if [ ! -x "$ROOT/.tools/buildbot/bin/buildbot" ]; then
        python3 -m venv "$ROOT/.tools/buildbot" || die "python3 makes no virtual environments; python3-venv is missing."
        "$ROOT/.tools/buildbot/bin/pip" install --quiet --disable-pip-version-check \
            "buildbot==$version" "buildbot-www==$version" "buildbot-worker==$version" ||
            { rm -rf "$ROOT/.tools/buildbot"; die "Buildbot could not be installed; see above."; }
    fi
    BENCH_MEMORY=$(mktemp -d /dev/shm/slipway-bench.XXXXXX)
}

# Measures with the database of each name: bench_on_databases "DATABASE …" NAME [OPTION]...
bench_on_databases() {
    local databases=$1 name=$2 database url=()
    shift 2
    for database in $databases; do
        url=()
        case "$database" in
            sqlite) ;;
            postgres)
                [ -n "${BENCH_POSTGRES:-}" ] || bench_postgres
                url=(--database-url "postgres://slipway@localhost/postgres?host=$BENCH_DIR/pg")
                case "$name" in
                    start | cache) url+=(--second-database-url "postgres://slipway@localhost/second?host=$BENCH_DIR/pg") ;;
                esac ;;
            *) die "'$database' is no database that Slipway knows." ;;
        esac
        mkdir -m 700 "$BENCH_DIR/$database"
        "$BENCH_PROGRAMS/slipway-bench" "$name" --data "$BENCH_DIR/$database" ${url[@]+"${url[@]}"} "$@"
        rm -rf "${BENCH_DIR:?}/$database"
    done
}

# Takes the options that this benchmark knows: bench_options "OPTION …" [ARGUMENT]...
# What --db says is in BENCH_DATABASES, the others are in BENCH_OPTIONS.
bench_options() {
    local known=" $1 "
    shift
    BENCH_DATABASES="sqlite postgres"
    BENCH_OPTIONS=()
    while [ $# -gt 0 ]; do
        case "$known" in
            *" $1 "*) ;;
            *) usage >&2; die "'$1' is no option of scripts/bench $name." ;;
        esac
        [ $# -gt 1 ] || die "$1 needs a value."
        case "$1" in
            --db) BENCH_DATABASES=$2 ;;
            *) BENCH_OPTIONS+=("$1" "$2") ;;
        esac
        shift 2
    done
}

# bench_run NAME "OPTION …" [ARGUMENT]...: one benchmark, on each database where it knows --db.
bench_run() {
    local name=$1 known=$2 program=()
    shift 2
    bench_options "$known" "$@"
    bench_build
    bench_place
    case "$name" in
        lease) program=(--work "$BENCH_DIR/work") ;;
        start)
            bench_buildbot
            program=(--slipway "$BENCH_PROGRAMS/slipway" --buildbot "$ROOT/.tools/buildbot/bin"
                --buildbot-data "$BENCH_MEMORY") ;;
        *) program=(--slipway "$BENCH_PROGRAMS/slipway") ;;
    esac
    BENCH_OPTIONS=("${program[@]}" ${BENCH_OPTIONS[@]+"${BENCH_OPTIONS[@]}"})
    case " $known " in
        *" --db "*) bench_on_databases "$BENCH_DATABASES" "$name" "${BENCH_OPTIONS[@]}" ;;
        *) "$BENCH_PROGRAMS/slipway-bench" "$name" "${BENCH_OPTIONS[@]}" ;;
    esac
}

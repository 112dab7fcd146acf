# Runs one part for as long as the test runner lives, and leaves nothing of it behind.
#
#   sh guard.sh RUNNER BORN DIR SIGNAL COMMAND...
#
# RUNNER is the test runner's process id and BORN the start time of that process (field 22 of
# /proc/PID/stat), because process ids are used again. DIR belongs to the part: its log is kept there,
# DIR/after is run once the part has been stopped with SIGNAL, and then DIR and what lies beside it
# under the same name are removed. If this script is killed, the kernel kills the part (setpriv).
runner=$1 born=$2 dir=$3 signal=$4
shift 4

"$@" >"$dir/log" 2>&1 </dev/null &
part=$!

runner_lives() {
    IFS= read -r stat 2>/dev/null <"/proc/$runner/stat" || return 1
    # What follows the command's name, which may hold spaces: state is the first field, start time the 20th.
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "${20}" = "$born" ]
}

# Once the part has ended, its process id may be somebody else's: it is not signalled any more.
part_lives() {
    [ ! -e "$dir/ended" ] || return 1
    kill -0 "$part" 2>/dev/null || { : >"$dir/ended"; return 1; }
}

while runner_lives; do
    part_lives
    sleep 0.2
done

! part_lives || kill -s "$signal" "$part"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    part_lives || break
    sleep 0.1
done
! part_lives || kill -s KILL "$part"
wait "$part"

# What the part had started may take a moment to die with it.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    if { [ ! -e "$dir/after" ] || sh "$dir/after"; } && rm -rf "$dir"; then
        break
    fi
    sleep 0.2
done 2>/dev/null
rm -f "$dir".*
rmdir "${dir%/*}" 2>/dev/null

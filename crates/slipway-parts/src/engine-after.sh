# What is left outside the engine's namespaces when it has been killed: the bridges of its networks,
# whose names stand in its network database, our own bridge, and the containers' control groups.
# Succeeds when nothing is left; BRIDGE, GROUP and DIR are filled in.
for bridge in BRIDGE $(grep -aos 'br-[0-9a-f]\{12\}' DIR/data/network/files/local-kv.db | sort -u); do
    [ ! -e "/sys/class/net/$bridge" ] || ip link delete "$bridge"
done
find /sys/fs/cgroup -depth -type d -path '*/GROUP*' -exec rmdir {} + 2>/dev/null
[ ! -e /sys/class/net/BRIDGE ] && [ -z "$(find /sys/fs/cgroup -type d -name GROUP)" ]

# Starts a Docker Engine of our own that shares nothing with one that may be running already.
#
#   sh engine.sh BRIDGE ADDRESS COMMAND...
#
# The bridge, because two engines would fight over docker0. The process and mount namespaces,
# because killing their first process then takes containerd, every container and every mount along,
# at once and for certain. That first process is a shell, which reaps what is orphaned.
set -e
bridge=$1 address=$2
shift 2
ip link add name "$bridge" type bridge
ip address add "$address" dev "$bridge"
ip link set "$bridge" up
exec unshare --mount --propagation slave --pid --fork --kill-child --mount-proc \
    sh -c '"$@" & wait $!' sh "$@"

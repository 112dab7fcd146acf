//! Builds that look for what lies on the host.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::{builder, contained, mark};
use crate::machines::machines;

/// A server's data directory, and a file that anybody on the host may read. Both hold the word.
fn secrets(word: &str) -> (tempfile::TempDir, tempfile::TempDir) {
    let data = tempfile::Builder::new()
        .prefix(word)
        .tempdir_in(machines())
        .unwrap();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    for file in ["slipway.key", "slipway.db"] {
        fs::write(data.path().join(file), word).unwrap();
    }
    let open = tempfile::Builder::new().prefix(word).tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(open.path().join("note"), word).unwrap();
    (data, open)
}

#[tokio::test]
async fn a_build_cannot_find_the_servers_database_or_key_by_any_path() {
    let word = mark("secret");
    let (data, open) = secrets(&word);
    let script = format!(
        r#"
for file in {data}/slipway.key {data}/slipway.db {open}/note; do
    try "$file" cat $file
    try "/proc/1/root" cat /proc/1/root$file
    try "/proc/*/root" bash -c "cat /proc/[0-9]*/root$file | grep ."
    for from in /build /var/lib/docker /run/slipway /run/slipway/services /proc/1/cwd /dev; do
        try "up from $from" cat $from/../../../../../../../../../..$file
    done
    cp -a /proc/1/cwd /build/link; mkdir -p /build/root; mount --rbind / /build/root
    try "bind" cat /build/root$file
    umount -l /build/root
done
try "names" bash -c 'find / -name "*{word}*" -not -path "/proc/*" | grep .'
"#,
        data = data.path().display(),
        open = open.path().display(),
    );
    assert_eq!(fs::read_to_string(data.path().join("slipway.key")).unwrap(), word);
    let said = contained(3 * 10 + 1, &script).await;
    assert!(!said.lines().any(|line| line == word), "{said}");
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_build_cannot_open_the_hosts_files_by_their_numbers() {
    let word = mark("numbered");
    let (data, _open) = secrets(&word);
    let file = fs::metadata(data.path().join("slipway.key")).unwrap();
    let lane = fs::metadata(machines().join("lanes")).unwrap();
    // Beside: the root of the file system, whose number ext4 has fixed, and without a generation, which ext4 takes for any.
    let numbers = format!("{}, {}, 2", file.ino(), lane.ino());
    let script = format!(
        r#"
python3 -c "$PY"'
def look(directory, number):
    handle = struct.pack("IiII", 8, 1, number, 0)
    place = os.open(directory, os.O_RDONLY)
    opened = syscall(304, place, ctypes.create_string_buffer(handle), os.O_RDONLY)
    return os.path.isdir("/proc/self/fd/%d" % opened) and os.listdir(opened) or os.read(opened, 100)
for directory in "/build", "/var/lib/docker", "/run/slipway/services", "/":
    for number in {numbers}:
        attempt("%s %d" % (directory, number), lambda: look(directory, number))
'
"#
    );
    let said = contained(4 * 3, &script).await;
    assert!(!said.contains(&word), "{said}");
}

#[tokio::test]
async fn a_build_cannot_mount_or_read_the_hosts_disk_or_memory() {
    let disk = fs::metadata(machines()).unwrap().dev();
    let (major, minor) = (nix::sys::stat::major(disk), nix::sys::stat::minor(disk));
    let script = format!(
        r#"
mkdir /tmp/at
for place in /tmp /build /var/lib/docker /dev /; do
    try "mknod disk in $place" mknod $place/disk b {major} {minor}
    try "mknod mem in $place" mknod $place/mem c 1 1
    try "mknod kmsg in $place" mknod $place/kmsg c 1 11
done
for kind in devtmpfs debugfs tracefs securityfs configfs pstore bpf; do
    try "mount $kind" bash -c "mount -t $kind none /tmp/at && ls -A /tmp/at | grep . && [ $kind != bpf ]"
done
for disk in /dev/vda /dev/sda /dev/nvme0n1 {major}:{minor}; do
    try "mount $disk" mount -t ext4 $disk /tmp/at
done
truncate -s 16m /build/image
try "loop" losetup --find --show /build/image
try "loop mount" mount -t ext4 -o loop /build/image /tmp/at
for file in /dev/mem /dev/kmem /proc/kcore /proc/kmsg /dev/kmsg; do try "$file" dd if=$file bs=64 count=1; done
"#
    );
    contained(5 * 3 + 7 + 4 + 2 + 5, &script).await;
}

#[tokio::test]
async fn a_build_cannot_change_what_it_has_of_the_host() {
    let program = Path::new(env!("CARGO_BIN_EXE_slipway-machine"));
    let devices = [
        "null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun",
    ];
    let state = || -> Vec<_> {
        let devices = devices.map(|name| Path::new("/dev").join(name));
        let paths = devices.iter().map(std::path::PathBuf::as_path).chain([program]);
        let metadata = paths.filter_map(|path| fs::metadata(path).ok());
        metadata
            .map(|m| (m.ino(), m.mode(), m.uid(), m.gid(), m.size()))
            .collect()
    };
    let (before, bytes) = (state(), fs::read(program).unwrap());
    let script = r#"
for file in /run/slipway/slipway /run/slipway/services /dev/null /dev/zero /dev/urandom /dev/net/tun; do
    mount -o remount,bind,rw $file 2>/dev/null
    try "chmod $file" chmod 4777 $file
    try "chown $file" chown 0:0 $file
    try "remove $file" rm -r $file
    try "rename $file" mv $file $file.old
done
try "write" bash -c 'echo >> /run/slipway/slipway'
try "cut" truncate -s 0 /run/slipway/slipway
try "memory" bash -c 'exec 3<>/proc/1/exe'
try "service" touch /run/slipway/services/new
try "service" ln -s /etc/shadow /run/slipway/services/1
"#;
    contained(6 * 4 + 5, script).await;
    assert_eq!((state(), fs::read(program).unwrap()), (before, bytes));
}

#[tokio::test]
async fn a_build_cannot_read_what_its_builder_was_given_open() {
    let word = mark("open");
    let (data, _open) = secrets(&word);
    let shell = format!(
        r#"exec 7<{0} 8>>{0} 9<{1}; exec "$BUILD" build "$MACHINES" /bin/bash -c "$SCRIPT""#,
        data.path().join("slipway.key").display(),
        data.path().display(),
    );
    let output = builder(
        &shell,
        r#"
for fd in 7 8 9; do
    try "read $fd" cat /proc/self/fd/$fd
    try "list $fd" ls /proc/self/fd/$fd/
    try "use $fd" bash -c "cat <&$fd || echo taken >&$fd"
    try "of process 1" ls /proc/1/fd/$fd
done
"#,
    );
    let said = String::from_utf8_lossy(&output.stdout);
    super::refused(12, &said);
    assert!(!said.contains(&word), "{said}");
    assert_eq!(fs::read_to_string(data.path().join("slipway.key")).unwrap(), word);
}

//! Builds that turn to the kernel that they share with the host.

use std::fs;

use super::{Live, contained};
use crate::machines::{driver, run};

/// Settings of the kernel that are not divided by namespaces, as far as this host has them.
const SETTINGS: [&str; 12] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/swappiness",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/inotify/max_user_instances",
];

#[tokio::test]
async fn a_build_cannot_change_the_kernels_settings() {
    let state = || SETTINGS.map(|file| fs::read_to_string(file).ok());
    let before = state();
    assert!(before.iter().flatten().count() > 8, "{before:?}");
    let script = format!(
        r#"
mkdir /tmp/proc; mount -t proc proc /tmp/proc; mount -o remount,rw /proc
for file in {}; do
    try "$file" bash -c "echo 3 > $file"
    try "$file of another proc" bash -c "echo 3 > /tmp$file"
    try "mode of $file" chmod 666 $file
done
# Only asks for help, should it get there.
try "sysrq" bash -c 'echo h > /proc/sysrq-trigger'
try "interrupts" bash -c 'echo 1 > /proc/irq/default_smp_affinity'
try "own uid map" bash -c 'echo "0 0 4294967295" > /proc/self/uid_map'
try "a wider map" unshare --user --map-users=0,0,4294967295 true
try "the builder itself" setpriv --reuid=1000000 true
"#,
        SETTINGS.join(" ")
    );
    contained(SETTINGS.len() * 3 + 5, &script).await;
    assert_eq!(state(), before);
}

#[tokio::test]
async fn a_build_cannot_write_to_devices_or_control_groups() {
    let hotplug = || fs::read_to_string("/sys/kernel/uevent_helper").ok();
    let before = hotplug();
    let script = r#"
mount -o remount,rw /sys; mkdir /tmp/sys; mount -t sysfs sysfs /tmp/sys
for file in kernel/uevent_helper power/state kernel/mm/transparent_hugepage/enabled kernel/profiling module/printk/parameters/time; do
    try "$file" bash -c "echo nothing > /tmp/sys/$file"
    try "$file" bash -c "echo nothing > /sys/$file"
done
groups=0
for root in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    mount -o remount,rw $root 2>/dev/null
    [ -f $root/cgroup.procs ] || continue
    groups=$((groups + 1))
    mkdir $root/escape 2>/dev/null && echo "ESCAPED a group in $root"
    for file in release_agent notify_on_release devices.allow memory.limit_in_bytes cgroup.subtree_control cgroup.procs; do
        (echo 1 > $root/$file) 2>/dev/null && echo "ESCAPED $root/$file"
    done
done
[ $groups -gt 0 ] && echo "held $groups groups"
mkdir /tmp/group
try "the classic" bash -c 'mount -t cgroup -o rdma,memory cgroup /tmp/group && mkdir /tmp/group/x && echo 1 > /tmp/group/x/notify_on_release && echo /tmp/agent > /tmp/group/release_agent'
try "version 2" bash -c 'mount -t cgroup2 cgroup2 /tmp/group && mkdir /tmp/group/x'
"#;
    contained(10 + 1 + 2, script).await;
    assert_eq!(hotplug(), before);
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_build_cannot_use_what_only_the_hosts_root_may() {
    let name = nix::unistd::gethostname().unwrap();
    let script = r#"
hostname stranger && domainname stranger; hostname
python3 -c "$PY"'
import time
now = time.time()
buffer = ctypes.create_string_buffer(4096)
attempt("settimeofday", lambda: syscall(164, struct.pack("qq", int(now), 0), 0))
attempt("clock_settime", lambda: syscall(227, 0, struct.pack("qq", int(now), 0)))
attempt("adjtimex", lambda: syscall(159, struct.pack("Iqqq", 2, 0, 0, 0) + bytes(200)))
# "Ctrl-Alt-Del does as before": harmless, and refused all the same.
attempt("reboot", lambda: syscall(169, 0xfee1dead, 672274793, 0, 0))
attempt("init_module", lambda: syscall(175, buffer, 4096, b""))
attempt("finit_module", lambda: syscall(313, os.open("/bin/bash", os.O_RDONLY), b"", 0))
attempt("delete_module", lambda: syscall(176, b"overlay", os.O_NONBLOCK))
attempt("kexec_load", lambda: syscall(246, 0, 0, 0, 0))
open("/build/swap", "wb").write(bytes(1 << 20))
attempt("swapon", lambda: syscall(167, b"/build/swap", 0))
attempt("swapoff", lambda: syscall(168, b"/dev/zram0"))
attempt("acct", lambda: syscall(163, b"/build/swap"))
attempt("syslog clear", lambda: syscall(103, 5, 0, 0))
attempt("iopl", lambda: syscall(172, 3))
attempt("ioperm", lambda: syscall(173, 0x80, 1, 1))
attempt("quotactl", lambda: syscall(179, 0x800002 << 8, b"/dev/vda", 0, buffer))
attempt("lookup_dcookie", lambda: syscall(212, 1, buffer, 4096))
attempt("bpf", lambda: syscall(321, 5, struct.pack("IIQQ", 6, 1, 0, 0) + bytes(100), 120))
attempt("bpf map", lambda: syscall(321, 0, struct.pack("IIIII", 1, 4, 4, 1, 0) + bytes(100), 120))
attempt("perf of all", lambda: syscall(298, struct.pack("IIQ", 1, 128, 0) + bytes(112), -1, 0, -1, 0))
attempt("real time", lambda: syscall(144, 0, 1, struct.pack("i", 50)))
attempt("niceness", lambda: checked(libc.setpriority(0, 0, -20)))
attempt("io priority", lambda: syscall(251, 1, 0, (1 << 13)))
import resource
def unlimited(what): resource.setrlimit(what, (resource.RLIM_INFINITY,) * 2)
for what in "NPROC", "CORE", "NOFILE":
    def raised():
        try: unlimited(getattr(resource, "RLIMIT_" + what))
        except ValueError as error: raise OSError(error)
    attempt("limit " + what, raised)
attempt("spared when memory is short", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-500"))
def immutable():
    import fcntl
    return fcntl.ioctl(os.open("/build/swap", os.O_RDONLY), 0x40086602, struct.pack("l", 0x10)) or "set"
attempt("immutable", immutable)
'
"#;
    let said = contained(27, script).await;
    assert!(said.starts_with("stranger\n"), "its own name is its own: {said}");
    assert_eq!(nix::unistd::gethostname().unwrap(), name);
}

#[tokio::test]
async fn a_build_that_reboots_ends_only_its_machine() {
    let driver = driver(&[]);
    let boot = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let before = boot();
    let mut live = Live::start(
        &driver,
        "python3 -c \"$PY\"'libc.reboot(0x01234567)'; echo 'ESCAPED it lives on'; sleep 1000",
    )
    .await;
    let exit = live.machine.wait().await.unwrap();
    assert!(!exit.success, "{exit:?}");
    live.kill().await.unwrap();
    assert_eq!(boot(), before);
    assert!(run(&driver, "true").await.0);
}

#[tokio::test]
async fn a_build_cannot_register_formats_or_dumps_for_the_host() {
    let state = || {
        (
            fs::read_dir("/proc/sys/fs/binfmt_misc").map(Iterator::count).ok(),
            fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(),
        )
    };
    let before = state();
    let script = r#"
mkdir /tmp/formats
# Where it can be mounted, it is of this namespace alone (since Linux 6.7).
mount -t binfmt_misc none /tmp/formats && echo ':escape:E::escape::/bin/true:F' > /tmp/formats/register
try "core" bash -c 'cd /build; ulimit -c unlimited; kill -SEGV $$'
[ -z "$(find /build -name 'core*')" ] && echo "held no core: $(grep -o 'Max core.*' /proc/self/limits)"
"#;
    contained(2, script).await;
    assert_eq!(state(), before);
}

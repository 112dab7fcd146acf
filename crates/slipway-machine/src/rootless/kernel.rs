//! What of the kernel is not divided by namespaces, and so has to be kept from a machine by other means: open files and
//! keys that a builder has from whoever started it, the host's other address families, and what its user may have of
//! things that are counted.

use std::{fs, io};

use nix::libc;

use super::launch::StageError;

/// What namespaces can make endless, and what one machine may have of each; containers take one of most kinds each.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
const NAMESPACES_EACH: u64 = 1000;
/// Of what the host gives a user, machines share with each other and with the builder: namespaces are counted for their
/// makers too (user_namespaces(7)).
const SHARED: [(&str, u64); 2] = [("inotify_instances", 16), ("inotify_watches", 8192)];
/// The part of the host's limit that one machine may have, where that is not less than the above.
const PART: u64 = 8;

/// Closes what this process was given besides its standard streams: a builder's parent may have left files open in it,
/// and whatever is open here is so in the machine.
pub(super) fn close_others() -> Result<(), StageError> {
    let failed = |error| StageError::of("/proc/self/fd", error);
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        open.extend(
            name.to_str()
                .and_then(|name| name.parse::<i32>().ok())
                .filter(|fd| *fd > 2),
        );
    }
    for fd in open {
        // One of them was the directory's.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// The host's limits of what is [`SHARED`], as seen before there is a namespace.
pub(super) fn host_limits() -> Vec<u64> {
    let limit = |(what, _): &(&str, u64)| {
        let text = fs::read_to_string(format!("/proc/sys/user/max_{what}")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    SHARED.iter().map(limit).collect()
}

/// In the outer user namespace: limits what all within have together. Root in a machine may change its own namespace's
/// limits, and not these.
pub(super) fn limit_counts(host: &[u64]) -> Result<(), StageError> {
    let shared =
        std::iter::zip(SHARED, host).map(|((what, least), host)| (what.to_owned(), least.max(host / PART)));
    let namespaces = NAMESPACES.map(|kind| (format!("{kind}_namespaces"), NAMESPACES_EACH));
    for (what, limit) in shared.chain(namespaces) {
        let file = format!("/proc/sys/user/max_{what}");
        match fs::write(&file, limit.to_string()) {
            // A kernel that does not count it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StageError::of(file, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Leaves the session keyring that this process has from its builder, for an empty one: a keyring's possessor may read
/// the keys in it, in whatever namespaces (session-keyring(7)).
pub(super) fn leave_keyring() -> Result<(), StageError> {
    #[expect(unsafe_code, reason = "nix has no keyctl(2)")]
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING takes a name or, for one without, a null pointer, which is not read.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0_usize) };
    match io::Error::last_os_error() {
        // A kernel without keys.
        error if joined < 0 && error.raw_os_error() != Some(libc::ENOSYS) => {
            Err(StageError::of("leaving the builder's keys", error))
        }
        _ => Ok(()),
    }
}

/// Numbers of system calls of one ABI.
struct Abi {
    /// linux/audit.h, `AUDIT_ARCH_`.
    arch: u32,
    socket: u32,
}

/// This program's ABI, and the 32-bit one of the same processors. `socketcall` of the latter hides what it asks for
/// behind a pointer and cannot be filtered (socketcall(2)); glibc for linux/386 has no other way to a network.
#[cfg(target_arch = "x86_64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_003e,
        socket: libc::SYS_socket as u32,
    },
    Abi {
        arch: 0x4000_0003,
        socket: 359,
    },
];
#[cfg(target_arch = "aarch64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_00b7,
        socket: libc::SYS_socket as u32,
    },
    Abi {
        arch: 0x4000_0028,
        socket: 281,
    },
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ABIS: &[Abi] = &[];

/// `io_uring_setup`: the same in all ABIs, as all numbers since Linux 5.1.
const IO_URING_SETUP: u32 = 425;
/// The bit by which x32's calls are told from x86-64's.
const X32: u32 = 0x4000_0000;
/// Address families that network namespaces divide, and that builds use.
const FAMILIES: [i32; 5] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
    libc::AF_PACKET,
];
/// Offsets in `struct seccomp_data` (seccomp(2)); of the first argument, the half that has the family.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

const fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

const fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

const fn answer(action: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

/// Goes on if it is this, else past so many.
const fn unless(value: u32, past: u8) -> libc::sock_filter {
    jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 0, past)
}

/// Goes past so many if it is this.
const fn past_if(value: u32, past: u8) -> libc::sock_filter {
    jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, past, 0)
}

fn filter() -> Vec<libc::sock_filter> {
    let refuse = |errno: i32| answer(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned());
    let mut all = vec![load(ARCH)];
    for abi in ABIS {
        let mut block = vec![
            load(NUMBER),
            statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, !X32),
            unless(IO_URING_SETUP, 1),
            refuse(libc::ENOSYS),
            unless(abi.socket, FAMILIES.len() as u8 + 2),
            load(ARGUMENT),
        ];
        for (n, family) in FAMILIES.iter().enumerate() {
            block.push(past_if(family.cast_unsigned(), (FAMILIES.len() - n) as u8));
        }
        block.extend([refuse(libc::EAFNOSUPPORT), answer(libc::SECCOMP_RET_ALLOW)]);
        all.push(unless(abi.arch, block.len() as u8));
        all.extend(block);
    }
    all.push(answer(libc::SECCOMP_RET_ALLOW));
    all
}

/// Refuses, from here on and in all that is started, sockets of families that no namespace divides: by AF_VSOCK one gets
/// from a virtual machine to its host, and to services of the builder's own that listen so, as sshd(8) does under
/// systemd 256. And io_uring(7), which makes sockets past this filter. Not by "no new privileges", as sudo in a
/// container is to work: root of the machine's own user namespace need not say so (seccomp(2)).
pub(super) fn refuse_undivided() -> Result<(), StageError> {
    let mut filter = filter();
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    #[expect(unsafe_code, reason = "nix has no seccomp(2)")]
    // SAFETY: the program points to `filter`, which lives until the end of this function and has as many entries.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            std::ptr::from_ref(&program),
        )
    };
    if set == 0 {
        return Ok(());
    }
    Err(StageError::of(
        "the filter of system calls",
        io::Error::last_os_error(),
    ))
}

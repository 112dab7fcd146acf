//! What `slipway doctor` says of a host on which one thing is missing: the host is this one, seen from a mount namespace in
//! which that thing is not there.

use std::{
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::machines::prepared_machines;

/// Examines the host with this shell command run first, in namespaces of its own. Returns the findings.
fn examined(before: &str, directory: &Path) -> Vec<Value> {
    let script = format!("{before}\nexec \"$0\" doctor \"$1\"");
    let output = Command::new("unshare")
        .args(["--mount", "--", "/bin/sh", "-ec", &script])
        .arg(env!("CARGO_BIN_EXE_slipway-machine"))
        .arg(directory)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Holds if exactly one thing is missing, by this name, with something to do about it; and no machine was tried.
fn assert_misses(name: &str, findings: &[Value]) {
    let missing: Vec<_> = findings.iter().filter(|f| f["health"] == "missing").collect();
    assert_eq!(missing.len(), 1, "without {name}: {findings:#?}");
    assert_eq!(missing[0]["name"], name, "{findings:#?}");
    assert!(
        missing[0]["fix"].as_str().is_some_and(|fix| !fix.is_empty()),
        "{findings:#?}"
    );
    assert!(!findings.iter().any(|f| f["name"] == "machine"), "{findings:#?}");
}

#[test]
fn where_everything_is_there_a_machine_is_the_proof() {
    let findings = examined("", &prepared_machines());
    let machine = findings.iter().find(|f| f["name"] == "machine");
    assert_eq!(machine.unwrap()["health"], "good", "{findings:#?}");
    assert!(findings.iter().all(|f| f["health"] != "missing"), "{findings:#?}");
}

#[test]
fn each_program_that_is_not_there_is_named_with_its_package() {
    let directory = prepared_machines();
    for missing in ["newuidmap", "newgidmap", "slirp4netns", "nft", "ip", "tar"] {
        let programs = tempfile::tempdir().unwrap();
        for place in ["/usr/sbin", "/usr/bin"] {
            for entry in std::fs::read_dir(place).unwrap().flatten() {
                if entry.file_name() != missing {
                    let _ = symlink(entry.path(), programs.path().join(entry.file_name()));
                }
            }
        }
        let before = format!("export PATH={}", programs.path().display());
        assert_misses(missing, &examined(&before, &directory));
    }
}

#[test]
fn a_user_without_sub_ids_is_told_how_to_get_them() {
    for file in ["/etc/subuid", "/etc/subgid"] {
        let before = format!("mount --bind /dev/null {file}");
        assert_misses("sub-ids", &examined(&before, &prepared_machines()));
    }
}

#[test]
fn a_host_that_allows_no_user_namespaces_is_named() {
    // The count is a user namespace's own (namespaces(7)): this is one in which no more can be made.
    let before = "exec unshare --user --map-root-user /bin/sh -ec 'echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" doctor \"$1\"' \"$0\" \"$1\"";
    assert_misses("namespaces", &examined(before, &prepared_machines()));
}

#[test]
fn a_host_without_the_tunnel_device_is_named() {
    let before = "mount -t tmpfs none /dev/net";
    assert_misses("/dev/net/tun", &examined(before, &prepared_machines()));
}

#[test]
fn a_directory_without_a_root_file_system_is_named() {
    let empty = tempfile::tempdir().unwrap();
    assert_misses("root file system", &examined("", empty.path()));
}

#[test]
fn a_root_file_system_that_is_older_than_its_security_updates_is_warned_of() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("roots")).unwrap();
    let archive = std::fs::File::create(place.path().join("roots/trixie-1.tar")).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(60 * 24);
    archive.set_modified(long_ago).unwrap();
    let findings = examined("", place.path());
    let root = findings.iter().find(|f| f["name"] == "root file system").unwrap();
    assert_eq!(root["health"], "warning", "{findings:#?}");
    // An empty archive is no root file system: only a machine shows it.
    let machine = findings.iter().find(|f| f["name"] == "machine").unwrap();
    assert_eq!(machine["health"], "missing", "{findings:#?}");
}

/// What a builder should be. Its machine would not start without a network.
#[test]
fn a_user_without_privileges_can_have_machines() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    // Where that user can read, wherever this checkout is.
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_slipway-machine"), at("program")).unwrap();
    std::fs::write(at("ids"), "nobody:500000000:65536\n").unwrap();
    std::fs::create_dir_all(at("machines/roots")).unwrap();
    let roots = std::fs::read_dir(prepared_machines().join("roots"))
        .unwrap()
        .flatten();
    let archive = roots
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "tar"));
    std::fs::copy(archive.unwrap(), at("machines/roots/trixie-1.tar")).unwrap();
    chown(at("machines"), Some(65534), Some(65534)).unwrap();
    let before = format!(
        "mount --bind {ids} /etc/subuid; mount --bind {ids} /etc/subgid; cd /
         exec setpriv --reuid nobody --regid nogroup --clear-groups {program} doctor \"$1\"",
        ids = at("ids").display(),
        program = at("program").display(),
    );
    let findings = examined(&before, &at("machines"));
    let of = |name: &str| {
        findings
            .iter()
            .find(|f| f["name"] == name)
            .map(|f| f["health"].clone())
    };
    assert_eq!(of("user").unwrap(), "good", "{findings:#?}");
    assert_eq!(of("machine").unwrap(), "good", "{findings:#?}");
}

//! Hostile builds: each tries to get at something outside its machine, or to stay, or to take everything, and must not.
//! `scripts/escape` runs them and counts. What a build says of its attempts is believed only where it tells against the
//! machine; wherever something outside could have changed, that is looked at too.

mod files;
mod floods;
mod kernel;
mod network;
mod processes;
mod remains;

use std::{
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

use slipway_machine::{Driver as _, Machine, MachineError, Started, rootless::Rootless};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader};

use crate::machines::{driver, machines, run, script};

/// In a script: `try NAME COMMAND …` says whether the command was refused; so does `attempt(name, call)` in a Python
/// program that begins with `$PY`, where a call that does not raise has escaped.
const TRY: &str = r#"
set +e
try() {
    local name=$1 said; shift
    if said=$("$@" 2>&1 < /dev/null); then echo "ESCAPED $name: $said"; else echo "held $name: ${said##*$'\n'}"; fi
}
PY='
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, call):
    try:
        print("ESCAPED", name, call(), flush=True)
    except OSError as error:
        print("held", name, error, flush=True)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def syscall(*arguments):
    return checked(libc.syscall(*arguments))
'
"#;

/// What attempts say when they did not even take place.
const BROKEN: [&str; 5] = [
    "command not found",
    "Traceback",
    "SyntaxError",
    "syntax error",
    "unbound variable",
];

/// Runs a script with so many attempts in a machine, all of which must be refused. Returns what it said.
async fn contained(attempts: usize, text: &str) -> String {
    let (_, said) = run(&driver(&[]), &format!("{TRY}\n{text}\necho 'the end'")).await;
    refused(attempts, &said);
    assert!(said.contains("the end"), "{said}");
    said
}

fn refused(attempts: usize, said: &str) {
    assert!(!said.contains("ESCAPED"), "{said}");
    for broken in BROKEN {
        assert!(!said.contains(broken), "{said}");
    }
    let held = said.lines().filter(|line| line.starts_with("held ")).count();
    assert_eq!(held, attempts, "{said}");
}

/// A word that nothing else on this host has.
fn mark(what: &str) -> String {
    format!("slipway-{what}-{}", std::process::id())
}

/// Processes of this host with a word in their command line, those in machines among them.
fn processes_with(word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let number = process.file_name().to_string_lossy().parse().ok();
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if let Some(number) = number
            && String::from_utf8_lossy(&line).contains(word)
        {
            found.push(number);
        }
    }
    found
}

/// Waits until something is so.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a file at the top of some machine's root file system is on disk.
fn on_disk(name: &str) -> bool {
    crate::machines::scratches()
        .iter()
        .any(|scratch| scratch.join("upper").join(name).exists())
}

/// A machine that runs on while a test looks at it.
struct Live {
    _stdin: Box<dyn AsyncWrite + Send + Unpin>,
    said: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    complained: Box<dyn AsyncRead + Send + Unpin>,
    machine: Box<dyn Machine>,
}

impl Live {
    async fn start(driver: &Rootless, text: &str) -> Self {
        let Started {
            stdin,
            stdout,
            stderr,
            machine,
        } = driver.start(script(&format!("{TRY}\n{text}"))).await.unwrap();
        Self {
            _stdin: stdin,
            said: BufReader::new(stdout),
            complained: stderr,
            machine,
        }
    }

    /// Waits for a line with a word.
    async fn hear(&mut self, word: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if self.said.read_line(&mut line).await.unwrap() == 0 {
                let mut complaint = String::new();
                self.complained.read_to_string(&mut complaint).await.unwrap();
                panic!("it ended without {word}: {said}{complaint}");
            }
            assert!(!line.contains("ESCAPED"), "{line}");
            if line.contains(word) {
                return line;
            }
            said += &line;
        }
    }

    async fn kill(&mut self) -> Result<(), MachineError> {
        self.machine.kill(Duration::ZERO).await
    }
}

/// A builder as a process of its own, which this makes by a shell: with what that leaves open, or is bound to.
fn builder(shell: &str, text: &str) -> Output {
    let output = Command::new("/bin/bash")
        .args(["-c", shell])
        .envs(outside(text))
        .output()
        .unwrap();
    assert!(!output.stdout.is_empty(), "{output:?}");
    output
}

/// For a shell outside: `$BUILD` is a builder with a machine that runs `$SCRIPT`.
fn outside(text: &str) -> [(&'static str, PathBuf); 3] {
    driver(&[]);
    [
        ("BUILD", env!("CARGO_BIN_EXE_slipway-machine").into()),
        ("MACHINES", machines()),
        ("SCRIPT", format!("{TRY}\n{text}").into()),
    ]
}

//! The launcher as a program of its own, for the tests of this crate: `slipway machine STAGE` does the same.
//!
//! `slipway-machine machine STAGE` is a stage of a machine's start; `slipway-machine run PROGRAM …` becomes that program, as
//! a machine's first process is always this one.

use std::{env, os::unix::process::CommandExt as _, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        #[cfg(target_os = "linux")]
        ["machine", stage, ..] => {
            let Some(stage) = slipway_machine::rootless::Stage::of(stage) else {
                eprintln!("there is no stage {stage}");
                return ExitCode::from(2);
            };
            stage.run(&arguments[2..]).unwrap_or_else(|error| {
                eprintln!("{error}");
                ExitCode::FAILURE
            })
        }
        ["run", program, ..] => {
            let error = std::process::Command::new(program).args(&arguments[2..]).exec();
            eprintln!("{program}: {error}");
            ExitCode::from(127)
        }
        _ => {
            eprintln!("usage: slipway-machine machine STAGE | run PROGRAM …");
            ExitCode::from(2)
        }
    }
}

//! The launcher and a small builder as a program of its own, for the tests of this crate: `slipway machine STAGE` does
//! what the launcher does here.
//!
//! `slipway-machine machine STAGE` is a stage of a machine's start; `slipway-machine run PROGRAM …` becomes that program, as
//! a machine's first process is always this one. `slipway-machine build DIRECTORY PROGRAM …` is a builder with one
//! machine that runs the program: for tests of what a machine inherits from its builder, and of a builder's death.
//! `slipway-machine doctor DIRECTORY` prints what was found, as JSON.

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
        #[cfg(target_os = "linux")]
        ["doctor", directory] => doctor(directory.into()),
        ["--version"] => ExitCode::SUCCESS,
        ["run", program, ..] => {
            let error = std::process::Command::new(program).args(&arguments[2..]).exec();
            eprintln!("{program}: {error}");
            ExitCode::from(127)
        }
        #[cfg(target_os = "linux")]
        ["build", directory, program @ ..] if !program.is_empty() => build(directory, program)
            .unwrap_or_else(|error| {
                eprintln!("{error}");
                ExitCode::FAILURE
            }),
        _ => {
            eprintln!(
                "usage: slipway-machine machine STAGE | run PROGRAM … | build DIRECTORY PROGRAM … | doctor DIRECTORY"
            );
            ExitCode::from(2)
        }
    }
}

/// Runs a program in a machine, and passes on what it says.
#[cfg(target_os = "linux")]
fn build(directory: &str, program: &[&str]) -> Result<ExitCode, Box<dyn std::error::Error>> {
    use slipway_machine::{
        Driver as _, MachineSpec, Started,
        rootless::{DISK, Options, Rootless},
    };
    use slipway_types::{BuildId, LeaseNo};
    let options = Options {
        directory: directory.into(),
        launcher: env::current_exe()?,
        services: Vec::new(),
        disk: DISK,
        layers_budget: 0,
    };
    let spec = MachineSpec {
        build: BuildId::fresh(),
        lease: LeaseNo(1),
        program: "slipway-machine".into(),
        arguments: [&["run"], program].concat().into_iter().map(Into::into).collect(),
        environment: Vec::new(),
        layers: None,
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let Started {
            stdin: _stdin,
            mut stdout,
            mut stderr,
            mut machine,
        } = Rootless::new(options)?.start(spec).await?;
        let (mut said, mut complained) = (tokio::io::stdout(), tokio::io::stderr());
        let (a, b, exit) = tokio::join!(
            tokio::io::copy(&mut stdout, &mut said),
            tokio::io::copy(&mut stderr, &mut complained),
            machine.wait(),
        );
        a?;
        b?;
        let exit = exit?;
        machine.kill(std::time::Duration::ZERO).await?;
        eprintln!("{}", exit.how);
        Ok(if exit.success {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

#[cfg(target_os = "linux")]
#[tokio::main(flavor = "current_thread")]
async fn doctor(directory: std::path::PathBuf) -> ExitCode {
    use slipway_machine::rootless::{Options, examine};
    let Ok(launcher) = env::current_exe() else {
        return ExitCode::FAILURE;
    };
    let options = Options {
        directory,
        launcher,
        services: Vec::new(),
        disk: slipway_machine::rootless::DISK,
        layers_budget: 0,
    };
    let written = serde_json::to_writer(std::io::stdout(), &examine(&options).await);
    if written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

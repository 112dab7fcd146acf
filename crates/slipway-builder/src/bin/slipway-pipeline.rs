//! The pipeline as a program of its own, for the tests of this crate: `slipway machine pipeline` and `slipway machine
//! askpass` do the same.
//!
//! `slipway-pipeline [--docker-host HOST] [--quick-push]` runs the build on its input; `slipway-pipeline askpass PROMPT`
//! answers git.

use std::{env, process::ExitCode, time::Duration};

use secrecy::ExposeSecret;
use slipway_builder::pipeline::{self, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [askpass, prompt] = arguments.as_slice()
        && askpass == "askpass"
    {
        return askpass_answer(prompt);
    }
    let (Ok(program), Ok(work)) = (env::current_exe(), env::current_dir()) else {
        eprintln!("the program's own path or its directory is gone");
        return ExitCode::FAILURE;
    };
    let mut options = Options::new(work, vec![program.into(), "askpass".into()]);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--docker-host" => options.docker_host = arguments.next(),
            "--quick-push" => options.push_retry.first = Duration::from_millis(10),
            other => {
                eprintln!("unknown argument {other}");
                return ExitCode::FAILURE;
            }
        }
    }
    match pipeline::run(tokio::io::stdin(), tokio::io::stdout(), options).await {
        // Reading standard input blocks a thread of the runtime, which would be waited for.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "git reads the answer there")]
fn askpass_answer(prompt: &str) -> ExitCode {
    match pipeline::ask_pipeline(prompt) {
        Some(answer) => {
            println!("{}", answer.expose_secret());
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

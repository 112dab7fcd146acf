//! The default test: every `*.test.yml` in the Dockerfile's folder, by Docker Compose, as Docker Hub's autotest.

use std::path::Path;

use slipway_types::build::{FailureKind, Phase};

use super::{
    Machine,
    environment::Environment,
    exec::{Program, Said, how},
    failure::Failure,
    tools::Compose,
};

const PHASE: Phase = Phase::Test;
/// The service whose exit code decides.
const SUT: &str = "sut";

/// Runs all test files, in the order of their names.
pub(super) async fn test(machine: &Machine<'_>, environment: &Environment) -> Result<(), Failure> {
    let files = test_files(&machine.paths.working_directory);
    if files.is_empty() {
        machine
            .say
            .remark(PHASE, "No tests: there is no *.test.yml beside the Dockerfile.")
            .await;
        return Ok(());
    }
    for file in files {
        let project = Project {
            machine,
            environment,
            file: &file,
        };
        machine.say.remark(PHASE, &format!("Testing with {file} …")).await;
        let outcome = project.test().await;
        project.remove().await;
        outcome?;
    }
    Ok(())
}

/// The names of all `*.test.yml`.
fn test_files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<String> = names
        .filter(|name| name.ends_with(".test.yml") && directory.join(name).is_file())
        .collect();
    files.sort();
    files
}

/// One file's containers, networks and volumes.
struct Project<'a> {
    machine: &'a Machine<'a>,
    environment: &'a Environment,
    file: &'a str,
}

impl Project<'_> {
    async fn test(&self) -> Result<(), Failure> {
        let services = self.compose(&["config", "--services"])?.captured().await;
        let services = services.map_err(|error| Failure::not_run("Docker Compose", &error))?;
        if !services.status.success() {
            self.machine.say.remark(PHASE, &services.stderr).await;
            return Err(self.failed("is not a valid compose file: the log says why"));
        }
        if !services.stdout.lines().any(|service| service.trim() == SUT) {
            return Err(self.failed("has no service named sut: its exit code would be the test's result"));
        }
        self.run(&["build"], "its images could not be built").await?;
        self.run(&["up", "-d", SUT], "its services could not be started")
            .await?;
        let container = self.sut().await?;
        let logs = self
            .docker(&["logs", "--follow", &container])
            .logged(self.machine.say, PHASE)
            .await;
        logs.map_err(|error| Failure::not_run("docker logs", &error))?;
        let waited = self.said(&["wait", &container]).await?;
        match waited.stdout.as_str() {
            "0" => Ok(()),
            "" => Err(self.failed(&format!("the result of sut is not known: {}", waited.stderr))),
            code => Err(self.failed(&format!("sut ended with code {code}"))),
        }
    }

    /// The id of sut's container, by the labels that every compose gives.
    async fn sut(&self) -> Result<String, Failure> {
        let project = self.machine.engine.project_filter();
        let service = format!("label=com.docker.compose.service={SUT}");
        let said = self
            .said(&[
                "ps",
                "-aq",
                "--no-trunc",
                "--filter",
                &project,
                "--filter",
                &service,
            ])
            .await?;
        match said.stdout.lines().next() {
            Some(id) => Ok(id.to_owned()),
            None => Err(self.failed("sut was not started")),
        }
    }

    /// Removes everything, also after a failure. What is left then is found by its label.
    async fn remove(&self) {
        if let Ok(down) = self.compose(&[
            "down",
            "--timeout=0",
            "--volumes",
            "--remove-orphans",
            "--rmi=local",
        ]) && let Err(error) = down.captured().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "compose could not remove its project"
            );
        }
        self.machine.engine.remove_project().await;
    }

    async fn run(&self, arguments: &[&str], otherwise: &str) -> Result<(), Failure> {
        let status = self.compose(arguments)?.logged(self.machine.say, PHASE).await;
        let status = status.map_err(|error| Failure::not_run("Docker Compose", &error))?;
        if status.success() {
            return Ok(());
        }
        Err(self.failed(&format!("{otherwise} (compose ended with {})", how(status))))
    }

    fn compose(&self, arguments: &[&str]) -> Result<Program<'static>, Failure> {
        let directory = &self.machine.paths.working_directory;
        let program = match &self.machine.tools.compose {
            Compose::Plugin => {
                Program::new(&self.machine.tools.docker, self.environment, directory).args(["compose"])
            }
            Compose::Standalone(program) => Program::new(program, self.environment, directory),
            Compose::Missing => {
                return Err(Failure::new(
                    FailureKind::MACHINE,
                    format!(
                        "{} needs Docker Compose, which is not installed where this builder runs",
                        self.file
                    ),
                ));
            }
        };
        Ok(program
            .args(["-p", &self.machine.spec.code, "-f", self.file])
            .args(arguments))
    }

    fn docker(&self, arguments: &[&str]) -> Program<'static> {
        Program::new(
            &self.machine.tools.docker,
            self.environment,
            &self.machine.paths.working_directory,
        )
        .args(arguments)
    }

    async fn said(&self, arguments: &[&str]) -> Result<Said, Failure> {
        let said = self.docker(arguments).captured().await;
        said.map_err(|error| Failure::not_run("docker", &error))
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::new(FailureKind::TEST, format!("{}: {why}", self.file))
    }
}

//! The rootless driver: a machine in namespaces that need no privileges, with a root file system, an engine, processes
//! and a network of its own (machines.md, "The rootless machine"). A stranger's build may run there.
//!
//! Two user namespaces, one within the other. The **outer** one holds the way out: slirp4netns and the filter. The
//! machine lies in the **inner** one and has no right over the outer one, so that root in the machine cannot flush
//! what closes its network. Neither maps the builder's own user: both map one [range of sub-ids](ids) of a *lane*, and
//! a lane belongs to one machine at a time.
//!
//! Processes, each started by the one before: the builder (this module) – `launch`, which makes the outer namespaces
//! and removes what the machine leaves – `enter`, which makes the inner ones – `init`, the machine's process 1, which
//! mounts, starts relays and engine and then the pipeline. All are this program (see [`Stage`]); each dies with the one
//! before it, and with process 1 dies everything in the machine.

mod control;
mod disk;
mod doctor;
mod ids;
mod init;
mod kernel;
mod lanes;
mod launch;
mod layers;
mod network;
mod relay;
mod removal;
mod root;
mod services;
mod spec;

use std::{path::PathBuf, time::Duration};

use futures::future::BoxFuture;
use tokio::process::Child;

use crate::{
    driver::{Driver, DriverName, Exit, Machine, MachineSpec, Started},
    error::MachineError,
};

pub use doctor::{Finding, Health, examine};
pub use init::ENGINE_LOG;
pub use launch::{Stage, StageError};
pub use root::{Prepare, PrepareError, prepare, prepared};
pub use services::Service;

use control::Control;
use lanes::{Lane, Lanes};
use network::Slirp;
use relay::Relays;
use spec::Launch;

/// How long a machine that was told to end may take, with the removal of what it wrote.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most processes and threads of one machine. They count against its range of ids, so root in it is held too.
const PROCESSES: u64 = 8192;

/// The bytes of disk that a machine may take, unless another limit is chosen. A build at Docker Hub had as many.
pub const DISK: u64 = 30_000_000_000;

/// How machines are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where root file systems and lanes lie; on one disk, and on none that a machine shall not fill.
    pub directory: PathBuf,
    /// The program whose `machine STAGE` calls [`Stage::run`].
    pub launcher: PathBuf,
    /// What of the host's or its network's services machines may reach, although it is closed to them otherwise.
    pub services: Vec<Service>,
    /// The most bytes that a machine may take on disk, usually [`DISK`]. One that takes more is ended.
    pub disk: u64,
    /// How many bytes of layers each lane keeps for later builds.
    pub layers_budget: u64,
}

/// Makes machines in namespaces.
#[derive(Debug)]
pub struct Rootless {
    options: Options,
    lanes: Lanes,
}

impl Rootless {
    /// With these options.
    ///
    /// # Errors
    /// [`MachineError::SubIds`] when this user has no sub-ids, or too few for one lane; [`MachineError::NoRoot`] when no
    /// root file system was prepared.
    pub fn new(options: Options) -> Result<Self, MachineError> {
        root::newest(&options.directory)?;
        let lanes = Lanes::new(options.directory.join("lanes"), ids::own()?);
        Ok(Self { options, lanes })
    }

    /// How many machines may run at once: one for each lane.
    pub fn lanes(&self) -> usize {
        self.lanes.count()
    }

    async fn start_one(&self, spec: MachineSpec) -> Result<Started, MachineError> {
        let layers = spec.layers.filter(|key| layers::is_key(key));
        let lane = self.lanes.take(&self.options.launcher, layers.as_deref()).await?;
        let root = root::ready(&self.options, &lane).await?;
        let services = services::places(&self.options.services).await;
        let launch = Launch {
            root,
            arguments: spec.arguments,
            environment: spec.environment,
            layers,
            layers_budget: self.options.layers_budget,
            processes: PROCESSES,
            disk: self.options.disk,
            closed: network::own_addresses(),
            services: services.iter().map(services::Place::inside).collect(),
        };
        let relays = Relays::open(&lane, &services)?;
        let (mut child, mut control) =
            Control::start(&self.options.launcher, Stage::Launch, &lane, None).await?;
        control.say(&launch).await?;
        control.hear("unshared").await?;
        let pid = control::pid_of(&child)?;
        lane.map(pid).await?;
        // While the launcher still is this user: what has become root of its namespace lets nobody at its namespaces.
        let slirp = Slirp::start(pid).await?;
        control.say("mapped").await?;
        let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = taken else {
            unreachable!("all three were asked for as pipes");
        };
        Ok(Started {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            machine: Box::new(RootlessMachine {
                child,
                launcher: self.options.launcher.clone(),
                control: Some(control),
                lane,
                slirp: Some(slirp),
                _relays: relays,
            }),
        })
    }
}

impl Driver for Rootless {
    fn name(&self) -> DriverName {
        DriverName::Rootless
    }

    fn isolates(&self) -> bool {
        true
    }

    fn start(&self, spec: MachineSpec) -> BoxFuture<'_, Result<Started, MachineError>> {
        Box::pin(self.start_one(spec))
    }
}

#[derive(Debug)]
struct RootlessMachine {
    child: Child,
    launcher: PathBuf,
    /// When it closes, the launcher ends the machine and removes what it left.
    control: Option<Control>,
    lane: Lane,
    slirp: Option<Slirp>,
    _relays: Relays,
}

impl RootlessMachine {
    async fn end(&mut self, grace: Duration) -> Result<(), MachineError> {
        if !grace.is_zero() {
            let _ = tokio::time::timeout(grace, self.child.wait()).await;
        }
        self.control = None;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        if !matches!(ended, Ok(Ok(_))) {
            // Its death is the machine's; what is on disk is removed before the lane's next machine starts.
            let _ = self.child.start_kill();
            let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        }
        if let Some(slirp) = self.slirp.take() {
            slirp.end().await;
        }
        if self.lane.is_clean().await {
            return Ok(());
        }
        match self.lane.sweep(&self.launcher).await? {
            0 => Ok(()),
            alive => Err(MachineError::StillAlive { alive }),
        }
    }
}

impl Machine for RootlessMachine {
    fn wait(&mut self) -> BoxFuture<'_, Result<Exit, MachineError>> {
        Box::pin(Exit::of(&mut self.child))
    }

    fn kill(&mut self, grace: Duration) -> BoxFuture<'_, Result<(), MachineError>> {
        Box::pin(self.end(grace))
    }
}

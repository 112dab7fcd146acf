//! `kill -9` at every step of linking, making, repairing and removing, exchanging secrets, GitHub Apps,
//! refreshing, unlinking and proving that an access is gone.
//!
//! For each fault point of the server: the server is told to die there, somebody does what leads there, the server
//! dies, is started again, and the person does what a person would do then (load the page again, or begin again).
//! After that, what Slipway says it keeps at the provider is compared with what the provider holds. What is there
//! beyond that is an orphan.

mod act;
mod app;
mod proof;
mod resources;

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use slipway_devforge::Kind;

pub use act::Act;

use crate::{Person, World, story::Account};

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// At how many points the server died.
    pub fault_points: usize,
    /// After how many of them everything came to be as it should.
    pub converged: usize,
    /// How many hooks, keys and tokens the provider held that Slipway did not know of.
    pub orphans: usize,
    /// What went wrong, by point.
    pub troubles: Vec<String>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "fault_points={} converged={} orphans={}",
            self.fault_points, self.converged, self.orphans
        )
    }
}

/// The provider made a token, and its answer was lost with the process. Nobody can give such a token back by itself;
/// it ends with the grant.
const LOSING_A_TOKEN: [&str; 2] = ["link.exchange.after", "link.hold.before"];
/// The refresh token is spent, and the new one was lost with the process: linking again mends it.
const LOSING_THE_REFRESH: [&str; 2] = ["refresh.call.after", "refresh.keep.before"];
/// The App came to be at GitHub, and its keys were lost with the process: an administrator deletes it there.
const LOSING_AN_APP: [&str; 2] = ["app.convert.after", "app.keep.before"];

/// The refresh token that was kept for the proof may be spent: no refusal shows anything any more. Where the access is
/// there still, it is spent indeed at the last two.
const LOSING_THE_PROOF: [&str; 4] = [
    "proof.claim.after",
    "proof.call.before",
    "proof.call.after",
    "proof.keep.before",
];

/// Dies at every point of these acts, in one world for each act.
///
/// # Errors
/// When a world cannot be made. What goes wrong at a point is in the outcome.
pub async fn run(program: &Path, acts: &[Act]) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for act in acts {
        let chaos = Chaos::begin(program, *act).await?;
        for point in act.points() {
            let began = Instant::now();
            let came = match chaos.die_at(&point).await {
                Ok(0) => "converged".to_owned(),
                Ok(orphans) => {
                    outcome.orphans += orphans;
                    format!("{orphans} orphans")
                }
                Err(error) => format!("{error:#}"),
            };
            let point = format!("{} {point}", act.kind().as_str());
            eprintln!("{point}: {came} ({:.1} s)", began.elapsed().as_secs_f32());
            outcome.fault_points += 1;
            if came == "converged" {
                outcome.converged += 1;
            } else {
                outcome.troubles.push(format!("{point}: {came}"));
            }
        }
    }
    Ok(outcome)
}

struct Chaos {
    act: Act,
    world: World,
    /// The administrator, not signed in at the provider in this browser.
    person: Person,
    /// Somebody else at the provider.
    mona: Account,
}

impl Chaos {
    async fn begin(program: &Path, act: Act) -> Result<Self> {
        let linked: &[Kind] = match act {
            Act::Link | Act::CreateApp | Act::InstallApp | Act::Refresh(Kind::GitHub) => &[],
            _ => &[act.kind()],
        };
        let world = World::of(program)
            .linked(linked)
            .option("--slots", "0")
            .start()
            .await?;
        world
            .forge
            .github()
            .create_user("mona", "Mona", "monas password")?;
        world
            .api
            .post("/organizations", &json!({ "name": "acme" }))
            .await?;
        if matches!(act, Act::CreateApp | Act::InstallApp | Act::Refresh(Kind::GitHub)) {
            world.sign_in_at_github().await?;
        }
        if matches!(act, Act::InstallApp | Act::Refresh(Kind::GitHub)) {
            world.create_github_app("github", "Slipway").await?;
            world.person.link(Kind::GitHub, &world.account).await?;
        }
        if matches!(act, Act::Refresh(Kind::Bitbucket) | Act::Unlink | Act::Remove) {
            world.repository(act.kind()).create().await?;
        }
        let person = world.person.elsewhere().await?;
        Ok(Self {
            act,
            world,
            person,
            mona: Account::new("mona", "monas password"),
        })
    }

    /// Dies there, comes back, and says how many orphans there are then.
    async fn die_at(&self, point: &str) -> Result<usize> {
        let orphans = match self.act {
            Act::Link => self.link(point, "ada").await?,
            Act::Share => self.link(point, "acme").await?,
            Act::OtherAccount => self.other_account(point).await?,
            Act::Configure => self.configure(point).await?,
            Act::Rotate(_) => self.rotate(point).await?,
            Act::RotateInVain => self.rotate_in_vain(point).await?,
            Act::Forget => self.forget(point).await?,
            Act::Repair(_) => self.repair(point).await?,
            Act::CreateApp => self.create_app(point).await?,
            Act::InstallApp => self.install(point).await?,
            Act::Refresh(_) => self.refresh(point).await?,
            Act::Unlink | Act::Remove => self.unlink(point).await?,
            Act::Prove => self.prove(point, false).await?,
            Act::ProveEnded => self.prove(point, true).await?,
        };
        Ok(orphans)
    }

    /// The server is started so that it dies at `point`; `act` leads it there; it is started again.
    async fn crash<T>(&self, point: &str, act: impl AsyncFnOnce() -> Result<T>) -> Result<Option<T>> {
        let serve = &self.world.serve;
        // What the server does by itself may lead there before it is up.
        let done = match serve.start_with(&[("SLIPWAY_FAULT_POINT", point)]).await {
            // It breaks off, or was answered before the server came to the point.
            Ok(()) => act().await.ok(),
            Err(_) => None,
        };
        let status = serve
            .ended()
            .await
            .with_context(|| format!("nothing led to {point}"))?;
        ensure!(!status.success(), "the server ended by itself: {status}");
        serve.start().await?;
        Ok(done)
    }

    async fn link(&self, point: &str, namespace: &str) -> Result<usize> {
        let (world, kind) = (&self.world, Kind::GitHub);
        let person = &self.person;
        let before = world.valid_tokens(kind);
        let back = std::sync::Mutex::new(None);
        self.crash(point, async || {
            let granted = world.granted(person, kind, namespace, &world.account).await?;
            *lock(&back) = Some(granted.clone());
            person.visitor.open(&granted).await
        })
        .await?;
        // Once more the same page; where that does not do, once more from the beginning.
        let back = lock(&back).take();
        if let Some(back) = back {
            person.visitor.get(&back).await?;
        }
        if world.link_of(namespace, kind).await?.is_null() {
            let back = world.granted(person, kind, namespace, &world.account).await?;
            person.visitor.open(&back).await?;
        }
        world.settled().await?;
        let link = world.link_of(namespace, kind).await?;
        ensure!(link["health"] == "healthy", "the link is {link}");
        let lost = usize::from(LOSING_A_TOKEN.contains(&point));
        let mut orphans = world.valid_tokens(kind).saturating_sub(1 + lost);
        self.unlink_namespace(namespace).await?;
        // What was lost ends with the grant.
        orphans += world.valid_tokens(kind).saturating_sub(before);
        Ok(orphans)
    }

    async fn other_account(&self, point: &str) -> Result<usize> {
        let (world, kind) = (&self.world, Kind::GitHub);
        let person = &self.person;
        let back = std::sync::Mutex::new(None);
        self.crash(point, async || {
            let granted = world.granted(person, kind, "ada", &self.mona).await?;
            *lock(&back) = Some(granted.clone());
            let asked = person.visitor.open(&granted).await?;
            let form = asked.form("form[action$='/answer']")?.set("replace", "no");
            person.visitor.submit(&form).await
        })
        .await?;
        let back = lock(&back).take();
        let page = person.visitor.get(back.context("nobody was sent back")?).await?;
        if let Ok(form) = page.form("form[action$='/answer']") {
            person.visitor.submit(&form.set("replace", "no")).await?.ok()?;
        }
        world.settled().await?;
        ensure!(
            world.link_of("ada", kind).await?["account"] == "ada",
            "replaced without a yes"
        );
        Ok(world.valid_tokens(kind).saturating_sub(1))
    }

    async fn refresh(&self, point: &str) -> Result<usize> {
        let (world, kind) = (&self.world, self.act.kind());
        let path = format!("/namespaces/ada/links/{}/check", kind.as_str());
        let check = async || world.api.post(&path, &json!({})).await;
        self.crash(point, async || {
            world.forge.provider(kind).expire_tokens();
            check().await
        })
        .await?;
        let link = check().await?;
        let lost = usize::from(LOSING_THE_REFRESH.contains(&point));
        if LOSING_THE_REFRESH.contains(&point) {
            ensure!(
                link["health"] == "broken" && link["health_reason"] == "token_expired",
                "the loss is not told: {link}"
            );
            let back = world.granted(&self.person, kind, "ada", &world.account).await?;
            self.person.visitor.open(&back).await?;
        }
        world.settled().await?;
        let link = check().await?;
        ensure!(link["health"] == "healthy", "the link is {link}");
        let mut orphans = world.valid_tokens(kind).saturating_sub(1 + lost);
        for source in world.forge.provider(kind).repositories() {
            ensure!(
                !source.hooks().is_empty() && !source.keys().is_empty(),
                "a hook or a key is gone"
            );
            orphans += source.hooks().len() - 1 + source.keys().len() - 1;
        }
        Ok(orphans)
    }

    async fn unlink(&self, point: &str) -> Result<usize> {
        let (world, kind) = (&self.world, Kind::GitHub);
        let delete = async || {
            let path = "/namespaces/ada/links/github?revoke_grant=true";
            world.api.call(Method::DELETE, path, None).await
        };
        self.crash(point, delete).await?;
        if world.link_of("ada", kind).await?["state"] == "linked" {
            delete().await?;
        }
        world.settled().await?;
        let ledger = world.api.get("/namespaces/ada/links/github/ledger").await?;
        ensure!(
            ledger["finished"] == true && ledger["remaining"] == 0,
            "the ledger says {ledger}"
        );
        let left = |source: &slipway_devforge::Repository| source.hooks().len() + source.keys().len();
        let sources = world.forge.provider(kind).repositories();
        let orphans = sources.iter().map(left).sum::<usize>() + world.valid_tokens(kind);

        let back = world.granted(&self.person, kind, "ada", &world.account).await?;
        self.person.visitor.open(&back).await?;
        world.settled().await?;
        Ok(orphans)
    }

    async fn unlink_namespace(&self, namespace: &str) -> Result<()> {
        let path = format!("/namespaces/{namespace}/links/github?revoke_grant=true");
        let answer = self.world.api.call(Method::DELETE, &path, None).await?;
        ensure!(answer.status.is_success(), "{}", answer.text);
        self.world.settled().await
    }
}

fn lock<T>(of: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

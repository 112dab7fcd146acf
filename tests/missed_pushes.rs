//! No push is missed: people push, force, roll back, tag and delete, while deliveries are lost, doubled, late and out of
//! order, and the server is killed and stays away for a part. In the end each ref's last head was built once by each
//! rule that it matches, and an earlier head at most once for each time that the ref was there.
//!
//! Everything is drawn from one seed, which is printed: `SLIPWAY_PUSHES_SEED=… cargo nextest run -E
//! 'test(missed_pushes)'` draws the same pushes and the same faults again. Nothing builds: what counts is the queue.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _, seq::SliceRandom as _};
use slipway_devforge::Order;
use slipway_testing::{Build, Kind, Linked, Rule, World, until};
use slipway_types::Timestamp;

use crate::SLIPWAY;

/// The branches; those of releases match two rules.
const BRANCHES: [&str; 6] = ["b0", "b1", "b2", "b3", "rel-1", "rel-2"];

/// What tells the rules apart that a full ref matches, in their text.
fn rules_for(full: &str) -> &'static [&'static str] {
    if full.starts_with("refs/heads/rel-") {
        &["→ {sourceref}-head", "→ release-"]
    } else if full.starts_with("refs/heads/") {
        &["→ {sourceref}-head"]
    } else {
        &["→ tag-"]
    }
}

#[tokio::test]
async fn each_last_head_is_built_once_whatever_becomes_of_the_deliveries() -> Result<()> {
    tell(World::of(SLIPWAY).option("--slots", "0").start().await?, 200).await
}

#[tokio::test]
async fn each_last_head_is_built_once_on_postgres_too() -> Result<()> {
    tell(
        World::of(SLIPWAY)
            .on_postgres()
            .option("--slots", "0")
            .start()
            .await?,
        60,
    )
    .await
}

/// Tells the story with `pushes` pushes to a repository at each provider, turn by turn.
async fn tell(world: World, pushes: usize) -> Result<()> {
    let seed = match std::env::var("SLIPWAY_PUSHES_SEED") {
        Ok(text) => text.parse().context("SLIPWAY_PUSHES_SEED is no number")?,
        Err(_) => rand::random(),
    };
    eprintln!("SLIPWAY_PUSHES_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut busy = Vec::new();
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        busy.push(Busy::new(&world, kind).await?);
    }
    let mut faults = Faults::default();
    let killed = pushes * random.random_range(30..45) / 100;
    let back = killed + pushes * random.random_range(5..20) / 100;
    for turn in 0..pushes {
        if turn == killed {
            world.serve.kill().await?;
        }
        if turn == back {
            world.serve.start().await?;
        }
        faults.before_push(&world, &mut random);
        busy[turn % 2].push(&mut random).await?;
        faults.after_push(&world, &mut random).await?;
    }
    faults.end(&world).await;
    everything_is_compared(&world, &busy).await?;
    for one in &busy {
        one.assert_built(&one.linked.builds().await?)
            .with_context(|| format!("SLIPWAY_PUSHES_SEED={seed}"))?;
    }

    // What was told once and is told again changes nothing.
    let before = all_builds(&busy).await?;
    for told in told(&world).choose_multiple(&mut random, 20) {
        world.forge.deliveries().redeliver(*told)?;
    }
    quiet(&world).await?;
    assert_eq!(all_builds(&busy).await?, before, "SLIPWAY_PUSHES_SEED={seed}");
    Ok(())
}

/// What becomes of deliveries.
#[derive(Debug, Default)]
struct Faults {
    /// For how many more pushes they are held back.
    held_for: Option<usize>,
}

impl Faults {
    fn before_push(&mut self, world: &World, random: &mut StdRng) {
        let deliveries = world.forge.deliveries();
        match random.random_range(0..100) {
            0..20 => deliveries.drop_next(1),
            20..35 => deliveries.duplicate_next(1),
            35..45 if self.held_for.is_none() => {
                deliveries.pause();
                self.held_for = Some(random.random_range(2..8));
            }
            _ => {}
        }
    }

    /// Lets go what was held, in any order; and now and then repeats something of long ago.
    async fn after_push(&mut self, world: &World, random: &mut StdRng) -> Result<()> {
        if random.random_bool(0.05)
            && let Some(told) = told(world).choose(random)
        {
            world.forge.deliveries().redeliver(*told)?;
        }
        match self.held_for {
            None => {}
            Some(0) => {
                let mut order: Vec<usize> = (0..world.forge.deliveries().held().len()).collect();
                order.shuffle(random);
                world.forge.deliveries().release(Order::Exactly(order)).await;
                self.held_for = None;
            }
            Some(more) => self.held_for = Some(more - 1),
        }
        Ok(())
    }

    async fn end(self, world: &World) {
        if self.held_for.is_some() {
            world.forge.deliveries().release(Order::Reversed).await;
        }
    }
}

/// The provider's numbers of the deliveries that the server has answered well.
fn told(world: &World) -> Vec<u64> {
    let log = world.forge.deliveries().log();
    let well = log.iter().filter(|one| matches!(one.status(), Some(200..300)));
    well.map(|one| one.id).collect()
}

/// Every delivery is read, every question to a forge answered, every change decided.
async fn quiet(world: &World) -> Result<()> {
    world.forge.deliveries().flush().await;
    until("nothing is left to be decided", async || {
        let queue = world.api.queue().await?;
        Ok((queue.deliveries + queue.changes + queue.head_checks + queue.outbox == 0).then_some(()))
    })
    .await
}

/// The server starts again, and has compared all heads after it.
async fn everything_is_compared(world: &World, busy: &[Busy<'_>]) -> Result<()> {
    quiet(world).await?;
    world.serve.stop().await?;
    let stopped = Timestamp::now();
    world.serve.start().await?;
    for one in busy {
        let path = format!("/repositories/{}/configuration", one.linked.name);
        until("all heads are compared after the start", async || {
            let configuration = world.api.get(&path).await?;
            let at: Option<Timestamp> =
                serde_json::from_value(configuration["source"]["heads_compared_at"].clone())?;
            Ok(at.filter(|at| *at > stopped).map(drop))
        })
        .await?;
    }
    quiet(world).await
}

/// Every build with its commit and state, in words to be compared.
async fn all_builds(busy: &[Busy<'_>]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for one in busy {
        let name = &one.linked.name;
        let builds = one.linked.builds().await?.into_iter();
        all.extend(builds.map(|build| format!("{name} #{}: {} {}", build.number, build.commit, build.state)));
    }
    Ok(all)
}

/// A repository that people push to.
struct Busy<'w> {
    linked: Linked<'w>,
    /// Commits to move refs to: two lines from one root, so that some moves are forced.
    commits: Vec<String>,
    /// Where each ref was, by its full name, in order; `None`: nowhere.
    history: BTreeMap<String, Vec<Option<String>>>,
    tags: usize,
}

impl<'w> Busy<'w> {
    async fn new(world: &'w World, kind: Kind) -> Result<Self> {
        let linked = world
            .repository(kind)
            .file("word", "first\n")
            .rule(Rule::branch(r"/^(b|rel-)[0-9]+$/", "{sourceref}-head"))
            .rule(Rule::branch(r"/^rel-([0-9]+)$/", r"release-{\1}"))
            .rule(Rule::tag(r"/^v([0-9]+)$/", r"tag-{\1}"))
            .create_source()
            .await?;
        let mut commits = Vec::new();
        for line in ["one", "other"] {
            let messages: Vec<String> = (0..14).map(|n| format!("{line} {n}")).collect();
            let wanted: Vec<(&str, &[(&str, &str)])> = messages
                .iter()
                .map(|message| (message.as_str(), [].as_slice()))
                .collect();
            commits.extend(linked.source.push_commits(line, &wanted).await?);
        }
        world
            .person
            .configure(
                &linked.name,
                kind,
                &linked.source.full_name()?,
                &linked.configuration,
            )
            .await?;
        until("the webhook is at the provider", async || {
            Ok((!linked.source.hooks().is_empty()).then_some(()))
        })
        .await?;
        world.settled().await?;
        Ok(Self {
            linked,
            commits,
            history: BTreeMap::new(),
            tags: 0,
        })
    }

    /// One `git push` of any kind.
    async fn push(&mut self, random: &mut StdRng) -> Result<()> {
        let branch = BRANCHES[random.random_range(0..BRANCHES.len())];
        let branch_ref = format!("refs/heads/{branch}");
        let source = self.linked.source.clone();
        match random.random_range(0..100) {
            0..10 => {
                let commit = source
                    .push(branch, &[("word", &random.random::<u32>().to_string())], "A word")
                    .await?;
                self.moved(branch_ref, Some(commit));
            }
            10..25 => {
                let earlier = self.earlier(&branch_ref, random);
                let to = earlier.unwrap_or_else(|| self.never_held(&branch_ref, random));
                source.force_push(branch, &to).await?;
                self.moved(branch_ref, Some(to));
            }
            25..35 if self.is_there(&branch_ref) => {
                source.delete_branch(branch).await?;
                self.moved(branch_ref, None);
            }
            35..60 => {
                let how_many = [1, 1, 1, 3, 5][random.random_range(0..5)];
                self.push_tags(how_many, random).await?;
            }
            60..75 => self.push_a_known_tag(random).await?,
            _ => {
                let to = self.never_held(&branch_ref, random);
                source.force_push(branch, &to).await?;
                self.moved(branch_ref, Some(to));
            }
        }
        Ok(())
    }

    /// New tags in one push; GitHub tells of three at most.
    async fn push_tags(&mut self, how_many: usize, random: &mut StdRng) -> Result<()> {
        let names: Vec<String> = (0..how_many).map(|n| format!("v{}", self.tags + n)).collect();
        self.tags += how_many;
        let at: Vec<String> = names
            .iter()
            .map(|_| self.commits[random.random_range(0..self.commits.len())].clone())
            .collect();
        let tags: Vec<(&str, &str)> = names
            .iter()
            .map(String::as_str)
            .zip(at.iter().map(String::as_str))
            .collect();
        self.linked.source.push_tags(&tags).await?;
        for (name, at) in names.iter().zip(at) {
            self.moved(format!("refs/tags/{name}"), Some(at));
        }
        Ok(())
    }

    /// Moves, deletes or brings back a tag that was there once.
    async fn push_a_known_tag(&mut self, random: &mut StdRng) -> Result<()> {
        if self.tags == 0 {
            return self.push_tags(1, random).await;
        }
        let name = format!("v{}", random.random_range(0..self.tags));
        let full = format!("refs/tags/{name}");
        if self.is_there(&full) && random.random_bool(0.4) {
            self.linked.source.delete_tag(&name).await?;
            self.moved(full, None);
            return Ok(());
        }
        let to = match self.earlier(&full, random) {
            Some(earlier) if random.random_bool(0.3) => earlier,
            _ => self.never_held(&full, random),
        };
        self.linked.source.push_tags(&[(&name, &to)]).await?;
        self.moved(full, Some(to));
        Ok(())
    }

    fn moved(&mut self, full: String, to: Option<String>) {
        self.history.entry(full).or_default().push(to);
    }

    fn is_there(&self, full: &str) -> bool {
        matches!(self.history.get(full).and_then(|all| all.last()), Some(Some(_)))
    }

    /// A commit that this ref held once, and does not hold now.
    fn earlier(&self, full: &str, random: &mut StdRng) -> Option<String> {
        let all = self.history.get(full)?;
        let now = all.last()?;
        let held: Vec<&String> = all.iter().filter(|held| *held != now).flatten().collect();
        held.choose(random).map(|commit| (*commit).clone())
    }

    /// A commit that this ref never held; once it has held them all, one that it does not hold now.
    fn never_held(&self, full: &str, random: &mut StdRng) -> String {
        let held = self.history.get(full).map(Vec::as_slice).unwrap_or_default();
        let mut free = self.not_among(held);
        if free.is_empty() {
            free = self.not_among(&held[held.len().saturating_sub(1)..]);
        }
        free[random.random_range(0..free.len())].clone()
    }

    fn not_among(&self, held: &[Option<String>]) -> Vec<&String> {
        let is_held = |commit: &str| held.iter().any(|held| held.as_deref() == Some(commit));
        self.commits.iter().filter(|commit| !is_held(commit)).collect()
    }

    fn assert_built(&self, builds: &[Build]) -> Result<()> {
        let mut expected = 0;
        for (full, history) in &self.history {
            for text in rules_for(full) {
                let of_rule: Vec<&Build> = builds
                    .iter()
                    .filter(|build| build.git_ref == *full && build.rule_text.contains(text))
                    .collect();
                expected += of_rule.len();
                assert_is_once_each(history, &of_rule)
                    .with_context(|| {
                        format!("{} by {text}", self.linked.source.full_name().unwrap_or_default())
                    })
                    .with_context(|| format!("{full} was at {history:?}, and built: {of_rule:?}"))?;
            }
        }
        ensure!(
            builds.len() == expected,
            "no other ref was built, and none by a rule that it does not match: {builds:?}"
        );
        Ok(())
    }
}

/// The last head was built, last and not superseded; and what was built before was there before, in this order, each as
/// often as the ref was there at most.
fn assert_is_once_each(history: &[Option<String>], builds: &[&Build]) -> Result<()> {
    let mut places = history.iter().flatten();
    for build in builds {
        ensure!(
            places.any(|held| *held == build.commit),
            "build {} is one too many",
            build.number
        );
    }
    if let Some(Some(head)) = history.last() {
        let last = builds.last().context("its last head was never built")?;
        ensure!(last.commit == *head, "the last build is not of the last head");
        ensure!(
            last.state == "pending",
            "the last build was taken out of the queue"
        );
    }
    Ok(())
}

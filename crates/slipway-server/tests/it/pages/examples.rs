//! One example of every page, rich enough to show each of its parts once.

use std::time::Duration;

use askama::Template;
use slipway_server::web::{
    ansi,
    view::{
        Act, Alert, Check, Commit, Copy, CopyLine, Crumbs, Csrf, Field, Frame, Me, Pager, Pill, Place,
        SideNav, Tabs, Tags, When,
        admin::{
            AppCard, GithubAppPage, ProviderRow, RegistriesPage, RegistryRow, SourceProviderPage,
            SourceProvidersPage, UserActs, UserPage, UserRow, UsersPage,
        },
        audit::{AuditPage, AuditRow},
        builds::{Bar, BuildsPage, Chart, HistoryRow, QueueRow, SourceLine, TriggerChoice},
        configure::{
            Choice, ConfigurePage, ConfigureUnlinkedPage, Preview, PreviewRef, RuleError, RuleRow,
            SourcePicker, SourceResults, TriggerRow, VariableRow,
        },
        health::TroubleBox,
        hub::{Attention, MyHubPage, NewRepositoryPage, NowRow, RepositoryRow},
        links::{
            AccessCard, ByName, ForgeCard, GroupRow, LedgerPage, LinkedAccountsPage, RemainingRow,
            ReplaceLinkPage, UnlinkPage, UnlinkRow,
        },
        report::{BuildReportPage, LogLine, LogView, PhaseView, StepView, TagState},
        repository::{RecentRow, RepositoryPage, RepositorySettingsPage, TagRow},
        settings::{
            AccessTokensPage, MemberRow, MembersPage, OrganizationsPage, SecurityPage, SessionRow, TokenRow,
        },
        start::{CheckListPage, ErrorPage, FirstRunPage, ProviderHelp, RegistryForm, SignInPage},
        timeline::{ChangeView, Day, Event, TimelinePage, VerdictRow},
    },
    words,
};
use slipway_types::{build::BuildState, forge::Health, time::Timestamp};

const DIGEST: &str = "sha256:9b0c6f4e2d71a85537c84ce11b6bfa20d9f6e35bd2f04a2c86f1d7c0aa5e4d13";

fn frame(title: &str) -> Frame {
    Frame {
        title: title.into(),
        me: Some(Me {
            name: "dockhand".into(),
            initials: "DH".into(),
            admin: true,
        }),
        place: Place::Hub,
        host: "builds.acme.example".into(),
        toast: None,
        csrf: csrf(),
        live: String::new(),
    }
}

fn outside(title: &str) -> Frame {
    Frame {
        me: None,
        place: Place::Elsewhere,
        ..frame(title)
    }
}

fn csrf() -> Csrf {
    Csrf("TOKEN".into())
}

fn ago(seconds: u64) -> When {
    let now = Timestamp::from_millis(1_800_000_000_000);
    words::when(now.minus(Duration::from_secs(seconds)), now)
}

fn act(action: &str, label: &'static str, of: &str) -> Act {
    Act {
        action: action.into(),
        csrf: csrf(),
        fields: vec![("namespace", "acme".into())],
        class: "sm",
        icon: "refresh",
        label,
        of: of.into(),
    }
}

fn copyline(text: &str, what: &str) -> CopyLine {
    CopyLine {
        text: text.into(),
        what: what.into(),
    }
}

fn commit(short: &str) -> Commit {
    Commit {
        short: short.into(),
        href: Some(format!("https://github.com/acme/checkout-api/commit/{short}")),
    }
}

fn tags(names: &[&str]) -> Tags {
    Tags {
        tags: names.iter().map(|&n| n.into()).collect(),
        none: "test only",
    }
}

fn tabs(here: &'static str) -> Tabs {
    Tabs {
        base: "/acme/checkout-api".into(),
        here,
    }
}

fn crumbs(here: &str) -> Crumbs {
    Crumbs {
        up: vec![
            ("My Hub".into(), "/".into()),
            ("acme".into(), "/?namespace=acme".into()),
        ],
        here: here.into(),
    }
}

fn side() -> SideNav {
    SideNav {
        label: "Settings",
        groups: vec![(
            "acme".into(),
            vec![
                ("Members", "/organizations/acme/members".into(), false),
                (
                    "Linked accounts",
                    "/settings/linked-accounts?namespace=acme".into(),
                    true,
                ),
            ],
        )],
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the views hold it")]
fn digest(of: &str) -> Option<(String, Copy)> {
    Some((
        words::short_digest(DIGEST),
        Copy {
            text: DIGEST.into(),
            what: format!("digest of {of}"),
        },
    ))
}

fn render(page: &impl Template) -> String {
    page.render().unwrap()
}

pub(super) fn sign_in() -> String {
    render(&SignInPage {
        frame: outside("Sign in"),
        alert: Some(
            Alert::bad("User name or password is wrong.").line("4 tries are left, then wait 15 minutes."),
        ),
        next: "/acme/checkout-api".into(),
        user: Field::mono("user", "User name")
            .value("dockhand")
            .autocomplete("username"),
        password: Field::password("password", "Password", "current-password"),
    })
}

pub(super) fn first_run() -> String {
    render(&FirstRunPage {
        frame: outside("Set up"),
        alert: None,
        fields: vec![
            Field::mono("name", "User name").error(Some("a name may hold only lower-case letters")),
            Field::password("password", "Password", "new-password").help("At least 12 characters"),
        ],
    })
}

fn registry_form() -> RegistryForm {
    RegistryForm {
        csrf: csrf(),
        alert: Some(
            Alert::bad("registry.acme.example refused the login.")
                .line("It answered 401. Check user and password."),
        ),
        next: "/setup".into(),
        fields: vec![
            Field::mono("host", "Host").value("registry.acme.example"),
            Field::mono("prefix", "Path prefix").optional(),
        ],
    }
}

pub(super) fn check_list() -> String {
    render(&CheckListPage {
        frame: frame("Set up"),
        checks: vec![
            Check::done("Create the administrator", "dockhand"),
            Check::next("Add the first registry", "Where images go.", "#registry"),
            Check::to_do("Connect Bitbucket", "Optional.", None),
        ],
        done: 1,
        registry: Some(registry_form()),
        providers: vec![ProviderHelp {
            title: "GitHub".into(),
            steps: vec!["Open Settings › Developer settings › OAuth apps.".into()],
            homepage: copyline("https://builds.acme.example", "homepage"),
            callback: copyline(
                "https://builds.acme.example/oauth/github/callback",
                "callback URL",
            ),
            href: "/admin/source-providers/new?kind=github".into(),
        }],
    })
}

pub(super) fn error() -> String {
    render(&ErrorPage {
        frame: Frame {
            place: Place::Elsewhere,
            ..frame("Not found")
        },
        status: 404,
        title: "There is nothing here that you may see".into(),
        why: "Either it does not exist, or it is private and dockhand has no access to it.".into(),
        advice: "Check the address, or ask an owner to give you at least read on the repository.".into(),
        path: "/acme/<b>vault</b>/builds".into(),
        id: copyline("err_01JHK2QX7R9T", "error id"),
    })
}

pub(super) fn my_hub() -> String {
    render(&MyHubPage {
        frame: Frame {
            toast: Some("Repository acme/edge-proxy was created.".into()),
            live: "/events/hub".into(),
            ..frame("My Hub")
        },
        lead: "14 repositories in 2 namespaces. 1 build runs, none waits.".into(),
        attention: vec![Attention {
            text: "acme at GitHub is broken:".into(),
            reason: "token_revoked".into(),
            href: "/settings/linked-accounts?namespace=acme".into(),
            label: "Link again",
        }],
        now: vec![NowRow {
            repository: "acme/checkout-api".into(),
            href: "/acme/checkout-api/builds/1284".into(),
            number: words::number(1284),
            state: words::build_state(BuildState::InProgress),
            cause: "push to main".into(),
            tags: tags(&["latest", "2.4.1"]),
            time: "2 min 14 s".into(),
        }],
        namespaces: vec![
            ("All".into(), "/".into(), true),
            ("acme".into(), "/?namespace=acme".into(), false),
            ("dockhand".into(), "/?namespace=dockhand".into(), false),
        ],
        query: String::new(),
        repositories: vec![
            RepositoryRow {
                name: "acme/checkout-api".into(),
                href: "/acme/checkout-api/builds".into(),
                source: "github.com/acme/checkout-api".into(),
                state: Some(words::build_state(BuildState::Success)),
                commit: Some(commit("b81d0e4")),
                tags: tags(&["latest"]),
                when: Some(ago(3700)),
            },
            RepositoryRow {
                name: "acme/new".into(),
                href: "/acme/new/builds".into(),
                source: "no source yet".into(),
                state: None,
                commit: None,
                tags: Tags::default(),
                when: None,
            },
        ],
        pager: Pager {
            shown: "2 repositories".into(),
            newest: None,
            older: Some("/?cursor=abc".into()),
        },
        nothing_yet: false,
        setup: vec![Check::to_do(
            "Connect Bitbucket",
            "Optional.",
            Some("/setup".into()),
        )],
        first_steps: Vec::new(),
        builders: vec![Check::at(
            "ok",
            "check-circle",
            "embedded",
            "host, amd64, 1 of 4 slots",
            "Takes work",
        )],
    })
}

pub(super) fn my_hub_empty() -> String {
    render(&MyHubPage {
        frame: frame("My Hub"),
        lead: "Namespace dockhand. No organizations yet.".into(),
        attention: Vec::new(),
        now: Vec::new(),
        namespaces: Vec::new(),
        query: String::new(),
        repositories: Vec::new(),
        pager: Pager::default(),
        nothing_yet: true,
        setup: Vec::new(),
        first_steps: vec![
            Check::done("Sign in", "You are dockhand."),
            Check::next("Link GitHub or Bitbucket", "", "/settings/linked-accounts"),
        ],
        builders: Vec::new(),
    })
}

pub(super) fn new_repository() -> String {
    render(&NewRepositoryPage {
        frame: frame("Create repository"),
        alert: None,
        namespaces: vec![("acme".into(), true), ("dockhand".into(), false)],
        name: Field::mono("name", "Name"),
        registries: vec![("reg_1".into(), "registry.acme.example".into(), true)],
        path: Field::mono("path", "Path at the registry").optional(),
        description: Field::text("description", "Description").optional(),
        private: true,
    })
}

pub(super) fn repository() -> String {
    render(&RepositoryPage {
        frame: frame("acme/checkout-api"),
        crumbs: crumbs("checkout-api"),
        tabs: tabs("general"),
        name: "acme/checkout-api".into(),
        description: "Takes money.".into(),
        private: true,
        pull: copyline(
            "docker pull registry.acme.example/acme/checkout-api:latest",
            "pull command",
        ),
        tags: vec![
            TagRow {
                tag: "latest".into(),
                digest: digest("latest"),
                size: "94.2 MiB".into(),
                build: Some(("#1,284".into(), "/acme/checkout-api/builds/1284".into())),
                commit: Some(commit("3f2a91c")),
                when: Some(ago(60)),
            },
            TagRow {
                tag: "old".into(),
                digest: None,
                size: String::new(),
                build: None,
                commit: None,
                when: None,
            },
        ],
        recent: vec![RecentRow {
            number: "#1,284".into(),
            href: "/acme/checkout-api/builds/1284".into(),
            state: words::build_state(BuildState::Success),
            cause: "push to main".into(),
            tags: tags(&["latest"]),
            when: ago(60),
        }],
        configure: Some("/acme/checkout-api/builds/configure".into()),
        configured: true,
    })
}

pub(super) fn repository_settings() -> String {
    render(&RepositorySettingsPage {
        frame: frame("Settings"),
        crumbs: crumbs("checkout-api"),
        tabs: tabs("settings"),
        alert: None,
        action: "/acme/checkout-api/settings".into(),
        name: "acme/checkout-api".into(),
        description: Field::text("description", "Description").optional(),
        private: false,
        image: "registry.acme.example/acme/checkout-api".into(),
        destroys: "Its build configuration, 1,284 builds and their logs go. Images stay at the registry."
            .into(),
        may_delete: true,
    })
}

pub(super) fn builds() -> String {
    render(&BuildsPage {
        frame: Frame {
            live: "/acme/checkout-api/events".into(),
            ..frame("Builds · acme/checkout-api")
        },
        crumbs: crumbs("checkout-api"),
        tabs: tabs("builds"),
        base: "/acme/checkout-api".into(),
        source: Some(SourceLine {
            name: "github.com/acme/checkout-api".into(),
            href: Some("https://github.com/acme/checkout-api".into()),
            about: "3 rules, webhook + polling".into(),
            last: Some(ago(120)),
        }),
        alert: None,
        may_configure: true,
        triggers: vec![TriggerChoice {
            rule: "rul_1".into(),
            label: "Rule 1, branch main".into(),
            help: "makes latest".into(),
            chosen: true,
            asks_ref: false,
        }],
        chart: Some(Chart {
            count: 1,
            width: 1088,
            lines: vec![("160".into(), "0 min".into()), ("86".into(), "4 min".into())],
            bars: vec![Bar {
                href: "/acme/checkout-api/builds/1283".into(),
                name: "Build #1,283: failed, waited 3 s, took 58 s".into(),
                x: 45,
                bar_x: 49,
                mid: 58,
                queue: ("156.3".into(), "3.7".into()),
                took: ("87.9".into(), "68.4".into()),
                tone: "bad",
                sign: "m-3-3 6 6m0-6-6 6",
            }],
            figures: vec![
                ("Success", "33 of 39".into()),
                ("Median duration", "3 min 14 s".into()),
            ],
        }),
        queue: vec![QueueRow {
            number: "#1,284".into(),
            href: "/acme/checkout-api/builds/1284".into(),
            state: words::build_state(BuildState::Pending),
            message: "Round half-even in totals".into(),
            commit: commit("3f2a91c"),
            ref_icon: "branch",
            ref_name: "main".into(),
            tags: tags(&["latest"]),
            position: "1 of 1".into(),
            estimate: "starts in 1 min".into(),
            why: "#1,283 writes latest first".into(),
            cancel: Some(act("/acme/checkout-api/builds/1284/cancel", "Cancel", "#1,284")),
        }],
        slots: "acme uses 1 of 5 slots".into(),
        query: String::new(),
        states: vec![("", "Any state", true), ("failed", "Failed", false)],
        causes: vec![("", "Any cause", true)],
        history: vec![HistoryRow {
            number: "#1,283".into(),
            href: "/acme/checkout-api/builds/1283".into(),
            state: words::build_state(BuildState::TimedOut),
            note: "build".into(),
            message: "Pin node to 22.12".into(),
            commit: commit("e07c15a"),
            cause: "Push".into(),
            ref_icon: "branch",
            ref_name: "main".into(),
            tags: tags(&["latest"]),
            waited: "3 s".into(),
            took: "58 s".into(),
            ended: ago(2700),
        }],
        filtered: false,
        pager: Pager {
            shown: "1 build".into(),
            newest: Some("/acme/checkout-api/builds".into()),
            older: None,
        },
    })
}

pub(super) fn builds_empty() -> String {
    render(&BuildsPage {
        frame: frame("Builds"),
        crumbs: crumbs("checkout-api"),
        tabs: tabs("builds"),
        base: "/acme/checkout-api".into(),
        source: None,
        alert: None,
        may_configure: true,
        triggers: Vec::new(),
        chart: None,
        queue: Vec::new(),
        slots: String::new(),
        query: String::new(),
        states: Vec::new(),
        causes: Vec::new(),
        history: Vec::new(),
        filtered: false,
        pager: Pager::default(),
    })
}

fn line(number: u64, text: &str) -> LogLine {
    LogLine {
        number,
        iso: "2027-01-15T08:00:00Z".into(),
        clock: "08:00:00".into(),
        tone: ansi::tone(text),
        html: ansi::to_html(text),
    }
}

fn report(state: BuildState) -> BuildReportPage {
    let live = state == BuildState::InProgress;
    BuildReportPage {
        frame: Frame {
            live: if live {
                "/acme/checkout-api/builds/1284/events".into()
            } else {
                String::new()
            },
            ..frame("Build #1,284")
        },
        crumbs: crumbs("#1,284"),
        base: "/acme/checkout-api/builds/1284".into(),
        number: "#1,284".into(),
        alerts: Vec::new(),
        state: words::build_state(state).large(),
        timing: "2 min 14 s".into(),
        ended: (!live).then(|| ago(120)),
        cause: "Push of".into(),
        commit: commit("3f2a91c"),
        cause_rest: " to main by ops-builder".into(),
        message: "Round half-even <script>alert(1)</script>".into(),
        facts: vec![("Machine", "host on builder embedded".into())],
        tags: vec![
            TagState {
                tag: "2.4.1".into(),
                state: Pill::new("ok", "check-circle", "Pushed"),
                digest: digest("2.4.1"),
                size: "94.2 MiB".into(),
            },
            TagState {
                tag: "latest".into(),
                state: Pill::new("run", "running", "Pushing"),
                digest: None,
                size: String::new(),
            },
        ],
        cancel: live
            .then(|| "Its machine is killed within 5 seconds. Tags already pushed stay: 2.4.1.".into()),
        retries: if live {
            Vec::new()
        } else {
            vec![act("/acme/checkout-api/builds/1284/retry", "Retry", "")]
        },
        phases: vec![
            PhaseView {
                name: "checkout".into(),
                tone: "ok",
                icon: "check-circle",
                word: "",
                hook: false,
                took: "3 s".into(),
                line: Some("#L1".into()),
                note: String::new(),
                steps: Vec::new(),
            },
            PhaseView {
                name: "build".into(),
                tone: "run",
                icon: "running",
                word: "running",
                hook: true,
                took: "44 s".into(),
                line: Some("#L3".into()),
                note: "4 of 9 steps cached".into(),
                steps: vec![
                    StepView {
                        name: "deps 1/4 FROM node:22.12-slim".into(),
                        took: String::new(),
                        cached: true,
                        failed: false,
                    },
                    StepView {
                        name: "app 2/3 RUN npm run build".into(),
                        took: "39.7 s".into(),
                        cached: false,
                        failed: true,
                    },
                ],
            },
        ],
        phases_done: "1 of 2 done".into(),
        absent_hooks: vec!["pre_build"],
        variables: vec!["SOURCE_BRANCH".into(), "NPM_TOKEN".into()],
        log: LogView {
            stream: if live {
                "/acme/checkout-api/builds/1284/log/stream".into()
            } else {
                String::new()
            },
            more: "/acme/checkout-api/builds/1284/log/lines".into(),
            raw: "/acme/checkout-api/builds/1284/log".into(),
            earlier: Some("/acme/checkout-api/builds/1284?before=1#log".into()),
            lines: vec![
                line(1, "== checkout"),
                line(2, "\u{1b}[32m<script>alert(2)</script>\u{1b}[0m"),
                line(3, "#5 CACHED"),
            ],
            total: "3".into(),
            size: "52 B".into(),
            live,
            empty: "",
        },
    }
}

pub(super) fn build_report() -> String {
    render(&report(BuildState::InProgress))
}

pub(super) fn build_failed() -> String {
    render(&BuildReportPage {
        alerts: vec![
            Alert::bad("Failed in build: RUN npm ci (Dockerfile line 9) exited with code 1.")
                .line("Run npm install, commit package-lock.json and push."),
        ],
        ..report(BuildState::Failed)
    })
}

fn picker() -> SourcePicker {
    SourcePicker {
        forges: vec![Choice::new("github", "GitHub (github.com)", "", true)],
        links: "/settings/linked-accounts?namespace=acme".into(),
        owners: vec![Choice::new("acme", "acme", "", true)],
        query: "check".into(),
        chosen: Some(("acme/checkout-api".into(), "acme/checkout-api at GitHub".into())),
        chosen_forge: "github".into(),
        results: None,
        load: "/acme/checkout-api/builds/configure/sources".into(),
    }
}

fn trouble() -> TroubleBox {
    TroubleBox {
        tone: "warn",
        title: "Webhook of acme/edge-proxy".into(),
        reason: "webhook_missing",
        repaired: Some(ago(180)),
        detail: "The webhook was removed at the provider. It is being repaired now.".into(),
        fix: "Repair it.",
        acts: vec![act("/acme/edge-proxy/builds/configure/check", "Check again", "")],
        links: vec![("Configure", "/acme/edge-proxy/builds/configure".into())],
    }
}

pub(super) fn configure() -> String {
    render(&ConfigurePage {
        frame: frame("Configure"),
        crumbs: crumbs("checkout-api"),
        tabs: tabs("builds"),
        base: "/acme/checkout-api/builds/configure".into(),
        builds: "/acme/checkout-api/builds".into(),
        name: "acme/checkout-api".into(),
        image: "registry.acme.example/acme/checkout-api".into(),
        alerts: vec![Alert::bad("Nothing was saved: rule 1 cannot be right.")],
        troubles: vec![trouble()],
        check: Some(act(
            "/acme/checkout-api/builds/configure/check",
            "Check again",
            "at the provider",
        )),
        saved: true,
        version: "3".into(),
        preview: None,
        connection: Some(Pill::new("ok", "check-circle", "Connected")),
        source: picker(),
        autotest: vec![
            Choice::new("off", "Off", "Pull requests are not tested", false),
            Choice::new(
                "internal",
                "Internal pull requests",
                "From branches of this repository",
                true,
            ),
        ],
        links: false,
        rules: vec![RuleRow {
            index: 0,
            number: 1,
            id: "rul_1".into(),
            is_tag: true,
            source: "/^v([0-9.]+/".into(),
            tags: r"{\1}, stable".into(),
            location: "Dockerfile".into(),
            context: "/".into(),
            autobuild: true,
            caching: false,
            platforms: String::new(),
            args: "A=b".into(),
            target: String::new(),
            include: "src/**".into(),
            exclude: String::new(),
            more: "only src/**".into(),
            warnings: vec!["No $ at the end: also matches v2.5.0-rc.1".into()],
            errors: vec![RuleError {
                field: "source",
                message: "the expression does not compile: unclosed group at character 3".into(),
            }],
        }],
        variables: vec![VariableRow {
            name: "NPM_TOKEN".into(),
        }],
        triggers: vec![TriggerRow {
            id: "trg_1".into(),
            name: "release-train".into(),
            address: "…/trigger/••••9c1e/call/".into(),
            used: None,
        }],
        new_trigger: Some(copyline(
            "https://builds.acme.example/api/build/v1/source/x/trigger/y/call/",
            "trigger address",
        )),
        delivery: vec![
            Choice::new("webhook", "Webhook", "", true),
            Choice::new("polling", "Polling only", "", false),
        ],
        auto_repair: true,
        hook: Some(Pill::new("warn", "alert", "Webhook missing")),
        rotation: Some("The provider gets a new secret."),
        rotation_refused: None,
        poll_minutes: 5,
        by_hand: Some((
            copyline("https://builds.acme.example/hooks/abc", "webhook address"),
            copyline("s3cret", "webhook secret"),
        )),
        time_limit_min: Some(45),
        supersede: vec![Choice::new("branches", "Pending, on branches", "", true)],
        destroys: "This deletes 1 build rule, 1 variable and 1 trigger here.".into(),
        may_delete: true,
    })
}

pub(super) fn configure_unlinked() -> String {
    render(&ConfigureUnlinkedPage {
        frame: frame("Configure"),
        crumbs: crumbs("checkout-api"),
        tabs: tabs("builds"),
        links: "/settings/linked-accounts?namespace=acme".into(),
        acts: vec![act("/settings/linked-accounts/github/link", "Link GitHub", "")],
        namespace: "acme".into(),
        may_link: true,
    })
}

pub(super) fn preview() -> String {
    render(&Preview {
        alerts: vec![Alert::warn("2 refs write 2.5.0")],
        about: "2 refs of today, as the rules stand here".into(),
        refs: vec![PreviewRef {
            icon: "branch",
            name: "main".into(),
            makes: vec![("Rule 1 makes".into(), vec!["latest".into()])],
            why: vec![(
                "Rule 2:".into(),
                "ref_type_differs",
                "the rule is for the other kind of ref",
            )],
        }],
        foot: "Fetched from GitHub just now".into(),
    })
}

pub(super) fn source_results() -> String {
    render(&SourceResults {
        found: vec![Choice::new(
            "42",
            "checkout-api",
            "private, main, pushed 4 min ago",
            true,
        )],
        about: "1 of 41 repositories of acme, searched at GitHub.".into(),
        adjust: "/settings/linked-accounts?namespace=acme".into(),
        alert: None,
    })
}

pub(super) fn timeline() -> String {
    render(&TimelinePage {
        frame: frame("Timeline"),
        crumbs: crumbs("checkout-api"),
        tabs: tabs("timeline"),
        alert: None,
        days: vec![Day {
            title: "Today, 15 Jan 2027".into(),
            id: "d-2027-01-15".into(),
            events: vec![Event {
                id: "dlv_1".into(),
                tone: "run",
                icon: "delivery",
                title: "Push to main: 1 of 2 rules builds".into(),
                when: ago(120),
                commit: Some(commit("3f2a91c")),
                text: "Round half-even in totals".into(),
                summary: "Delivery 5b1e0c70, signature valid, outcome observed".into(),
                changes: vec![ChangeView {
                    name: "main".into(),
                    result: "accepted".into(),
                    meaning: "it is the new head".into(),
                    verdicts: vec![
                        VerdictRow {
                            rule: "1, branch main".into(),
                            state: Pill::new("ok", "check", "Matched"),
                            reason: String::new(),
                            meaning: String::new(),
                            build: Some(("#1,284".into(), "/acme/checkout-api/builds/1284".into())),
                            tags: tags(&["latest"]),
                        },
                        VerdictRow {
                            rule: "2, tag /^v/".into(),
                            state: Pill::new("", "x", "No build"),
                            reason: "ref_type_differs".into(),
                            meaning: "the rule is for the other kind of ref".into(),
                            build: None,
                            tags: Tags::default(),
                        },
                    ],
                }],
                replay: Some(act(
                    "/acme/checkout-api/timeline/dlv_1/replay",
                    "Replay",
                    "delivery 5b1e0c70",
                )),
            }],
        }],
        pager: Pager::default(),
    })
}

pub(super) fn linked_accounts() -> String {
    render(&LinkedAccountsPage {
        frame: frame("Linked accounts"),
        side: side(),
        crumbs: crumbs("Linked accounts"),
        namespace: "acme".into(),
        organization: true,
        alerts: vec![Alert::ok("acme is linked to ops-builder at GitHub.")],
        forges: vec![
            ForgeCard {
                id: "github".into(),
                initials: "GH".into(),
                title: "GitHub".into(),
                host: "github.com".into(),
                account: Some("ops-builder".into()),
                state: words::health(Health::NeedsAttention),
                alert: Some(Alert::warn("The link has too few rights.").fix("Link again", "#")),
                reason: "scopes_missing".into(),
                personal: Some(
                    Alert::warn("ops-builder is dockhand’s own account.")
                        .line("Builds of acme break when dockhand leaves.")
                        .fix("Use a service account", "#service-account"),
                ),
                link: Some(act(
                    "/settings/linked-accounts/github/link",
                    "Link again",
                    "GitHub",
                )),
                other: None,
                install: Some("https://github.com/apps/slipway/installations/new?state=acme".into()),
                check: Some(act(
                    "/settings/linked-accounts/github/check",
                    "Check again",
                    "GitHub",
                )),
                unlink: Some((
                    "/settings/linked-accounts/github/unlink?namespace=acme".into(),
                    "Unlink provider",
                )),
                kept: Vec::new(),
                facts: vec![("Account", "ops-builder, id 48210377".into())],
                verified: Some(ago(120)),
                groups_title: "Organizations",
                troubles: vec![trouble()],
                remaining: vec![RemainingRow {
                    what: "Webhook 448120931".into(),
                    source: "acme/checkout-api".into(),
                    place: "https://github.com/acme/checkout-api/settings/hooks".into(),
                }],
                groups: vec![GroupRow {
                    name: "northwind".into(),
                    state: Pill::new("bad", "lock", "Not granted"),
                    meaning: "GitHub answered 403: the organization restricts OAuth apps.".into(),
                    grant: Some((
                        "https://github.com/settings/connections/applications/x".into(),
                        "Grant access",
                    )),
                    policy: Some(
                        "https://github.com/organizations/northwind/settings/oauth_application_policy".into(),
                    ),
                    acts: vec![act(
                        "/settings/linked-accounts/github/owners",
                        "Check again",
                        "northwind",
                    )],
                }],
                by_name: Some(ByName {
                    action: "/settings/linked-accounts/github/owners".into(),
                    csrf: frame("").csrf,
                    namespace: "acme".into(),
                }),
                intro: String::new(),
                broken: false,
            },
            ForgeCard {
                id: "bitbucket".into(),
                initials: "BB".into(),
                title: "Bitbucket".into(),
                host: "bitbucket.org".into(),
                account: None,
                state: Pill::new("todo", "todo", "Not linked"),
                alert: None,
                reason: String::new(),
                personal: None,
                link: Some(act(
                    "/settings/linked-accounts/bitbucket/link",
                    "Link provider",
                    "Bitbucket",
                )),
                other: None,
                install: None,
                check: None,
                unlink: None,
                kept: vec![(
                    "The refresh token of ops-builder, which was unlinked, is kept sealed until 29 Nov 2026 at the latest."
                        .into(),
                    Some("/settings/linked-accounts/bitbucket/unlink?namespace=acme&link=lnk_1".into()),
                )],
                facts: Vec::new(),
                verified: None,
                groups_title: "Workspaces",
                troubles: Vec::new(),
                remaining: Vec::new(),
                groups: Vec::new(),
                by_name: None,
                intro: "You go to Bitbucket’s Grant access page and come back.".into(),
                broken: false,
            },
        ],
        may_add: true,
    })
}

pub(super) fn unlink() -> String {
    render(&UnlinkPage {
        frame: frame("Unlink GitHub"),
        crumbs: crumbs("Unlink GitHub"),
        action: "/settings/linked-accounts/github/unlink".into(),
        back: "/settings/linked-accounts?namespace=acme".into(),
        forge: "GitHub".into(),
        namespace: "acme".into(),
        account: "ops-builder".into(),
        about: "github.com, OAuth app".into(),
        initials: "GH".into(),
        state: words::health(Health::Healthy),
        stops: 1,
        things: 2,
        others: "No other namespace uses this account, so the authorization itself can be revoked too."
            .into(),
        rows: vec![UnlinkRow {
            repositories: vec!["acme/checkout-api".into()],
            source: "acme/checkout-api".into(),
            webhook: "448120931".into(),
            key: "98440127".into(),
        }],
        may_revoke: true,
        revoke_label: "Revoke Slipway’s authorization at GitHub".into(),
        revoke_help: "Ends all tokens of ops-builder for this app.".into(),
    })
}

pub(super) fn ledger() -> String {
    render(&LedgerPage {
        frame: frame("GitHub is unlinked from acme"),
        crumbs: crumbs("Unlink GitHub"),
        title: "GitHub is unlinked from acme".into(),
        state: Pill::new("ok", "check-circle", "Unlinked"),
        alerts: vec![Alert::ok("0 remaining at GitHub")],
        access: Some(AccessCard {
            title: "Access to ops-builder at Bitbucket".into(),
            state: Pill::new("warn", "alert", "Still there"),
            lines: vec!["The access is still there: Bitbucket has renewed it.".into()],
            checked: Some(ago(60)),
            authorizations: Some("https://bitbucket.org/account/settings/app-authorizations/".into()),
            acts: vec![act(
                "/settings/linked-accounts/bitbucket/unlink/check",
                "Check again",
                "",
            )],
        }),
        steps: vec![Check::done(
            "Webhook 448120931 of acme/checkout-api removed",
            "At the 2nd try.",
        )],
        started: Some(ago(300)),
        back: "/settings/linked-accounts?namespace=acme".into(),
    })
}

pub(super) fn replace_link() -> String {
    render(&ReplaceLinkPage {
        frame: frame("Link another account?"),
        forge: "GitHub".into(),
        namespace: "acme".into(),
        old: "ops-builder".into(),
        new: "dockhand".into(),
        action: "/settings/linked-accounts/github/replace".into(),
        sign_out: "https://github.com/logout".into(),
        pending: "PENDING".into(),
    })
}

pub(super) fn access_tokens() -> String {
    render(&AccessTokensPage {
        frame: frame("Access tokens"),
        side: side(),
        alert: None,
        fresh: Some(copyline("slw_pat_example", "access token")),
        tokens: vec![TokenRow {
            name: "ci".into(),
            scopes: "read build".into(),
            made: ago(90_000),
            used: None,
            expires: None,
            revoke: act("/settings/access-tokens/pat_1/revoke", "Revoke", "ci"),
        }],
        name: Field::text("name", "What it is for"),
        scopes: vec![
            ("read", "See what you see", true),
            ("build", "Start, cancel and retry builds", false),
        ],
    })
}

pub(super) fn security() -> String {
    render(&SecurityPage {
        frame: frame("Security"),
        side: side(),
        alert: None,
        fields: vec![Field::password("current", "Password now", "current-password")],
        sessions: vec![SessionRow {
            browser: "Firefox on Linux".into(),
            address: "192.0.2.7".into(),
            since: ago(90_000),
            seen: ago(2),
            here: true,
            end: None,
        }],
        sign_out: act("/sign-out", "Sign out", ""),
    })
}

pub(super) fn organizations() -> String {
    render(&OrganizationsPage {
        frame: Frame {
            place: Place::Organizations,
            ..frame("Organizations")
        },
        alert: None,
        organizations: vec![(
            "acme".into(),
            "owner".into(),
            "/organizations/acme/members".into(),
        )],
        name: Field::mono("name", "Name"),
    })
}

pub(super) fn members() -> String {
    render(&MembersPage {
        frame: frame("Members"),
        side: side(),
        crumbs: crumbs("Members"),
        alert: None,
        organization: "acme".into(),
        action: "/organizations/acme/members".into(),
        members: vec![MemberRow {
            name: "dockhand".into(),
            initials: "DO".into(),
            role: "owner".into(),
            since: Some(ago(90_000)),
            remove: Some(act(
                "/organizations/acme/members/usr_1/remove",
                "Remove",
                "dockhand",
            )),
        }],
        may_change: true,
        user: Field::mono("user", "User name"),
        roles: vec![("member", "Member", true), ("owner", "Owner", false)],
    })
}

pub(super) fn source_providers() -> String {
    render(&SourceProvidersPage {
        frame: Frame {
            place: Place::Admin,
            ..frame("Source providers")
        },
        side: side(),
        alert: Some(Alert::ok(
            "github.com knows this client, and the secret is right.",
        )),
        providers: vec![ProviderRow {
            title: "GitHub".into(),
            host: "github.com".into(),
            about: "OAuth app, 3 links".into(),
            state: Pill::new("ok", "check-circle", "Ready"),
            edit: Some("/admin/source-providers/github".into()),
            test: act("/admin/source-providers/github/test", "Test", "GitHub"),
        }],
    })
}

pub(super) fn github_app() -> String {
    render(&GithubAppPage {
        frame: frame("Create GitHub App"),
        side: side(),
        crumbs: crumbs("Create GitHub App"),
        host: "github.com".into(),
        page: "https://github.com/settings/apps/new?state=x".into(),
        manifest: "{\"name\":\"Slipway\"}".into(),
    })
}

fn github_provider() -> SourceProviderPage {
    SourceProviderPage {
        frame: frame("Add GitHub"),
        side: side(),
        crumbs: crumbs("Add GitHub"),
        title: "Add GitHub".into(),
        alert: None,
        steps: vec!["Open Settings › Developer settings › OAuth apps › New OAuth app.".into()],
        homepage: copyline("https://builds.acme.example", "homepage"),
        callback: copyline(
            "https://builds.acme.example/oauth/github/callback",
            "callback URL",
        ),
        action: "/admin/source-providers/new".into(),
        kind: "github",
        fields: vec![
            Field::mono("client_id", "Client ID"),
            Field::password("client_secret", "Client secret", "off").optional(),
        ],
        addresses: vec![Field::mono("web_url", "Web address").value("https://github.com")],
        has_secret: true,
        app: Some(AppCard::Create {
            action: "/admin/source-providers/github/app".into(),
            fields: vec![Field::text("app_name", "GitHub App name").value("Slipway")],
        }),
    }
}

pub(super) fn source_provider() -> String {
    render(&github_provider())
}

pub(super) fn source_provider_app() -> String {
    render(&SourceProviderPage {
        action: "/admin/source-providers/github".into(),
        app: Some(AppCard::There {
            page: "https://github.com/apps/slipway".into(),
            id: "424242".into(),
            hook: CopyLine {
                text: "https://slipway.example/hooks/apps/9f2c".into(),
                what: "webhook address".into(),
            },
            test: act(
                "/admin/source-providers/github/app/test",
                "Test GitHub App",
                "GitHub",
            ),
        }),
        ..github_provider()
    })
}

pub(super) fn registries() -> String {
    render(&RegistriesPage {
        frame: frame("Registries"),
        side: side(),
        registries: vec![RegistryRow {
            name: "main".into(),
            place: "registry.acme.example/team".into(),
            login: "robot".into(),
            of: "everybody".into(),
        }],
        form: registry_form(),
    })
}

fn user_row() -> UserRow {
    UserRow {
        initials: "DO".into(),
        name: "dockhand".into(),
        href: "/admin/users/dockhand".into(),
        role: "User",
        state: Pill::new("ok", "check-circle", "Active"),
        since: ago(90_000),
    }
}

pub(super) fn audit() -> String {
    let row = |actor: &str, address: &str, act: &str, object: &str, detail: &str| AuditRow {
        when: ago(90),
        actor: actor.into(),
        address: address.into(),
        act: act.into(),
        object: object.into(),
        detail: detail.into(),
    };
    render(&AuditPage {
        frame: frame("Audit trail of acme"),
        side: side(),
        lead: "Who did what here, when and from where; also what Slipway repaired by itself.",
        rows: vec![
            row(
                "slipway",
                "",
                "webhook.repaired",
                "acme/app",
                "reason: webhook_missing",
            ),
            row(
                "dockhand",
                "192.0.2.7",
                "link.created",
                "github",
                "login: octocat",
            ),
        ],
        pager: Pager {
            shown: "2 acts".into(),
            newest: None,
            older: None,
        },
    })
}

pub(super) fn users() -> String {
    render(&UsersPage {
        frame: frame("Users"),
        side: side(),
        alert: None,
        users: vec![user_row()],
        fields: vec![
            Field::mono("name", "Name"),
            Field::password("password", "First password", "new-password"),
        ],
    })
}

pub(super) fn user() -> String {
    render(&UserPage {
        frame: frame("dockhand"),
        side: side(),
        crumbs: crumbs("dockhand"),
        alert: None,
        user: user_row(),
        action: "/admin/users/dockhand/password".into(),
        acts: Some(UserActs {
            password: Field::password("password", "New password", "new-password"),
            switch: act("/admin/users/dockhand/disable", "Disable", "dockhand"),
            is_disabled: false,
        }),
    })
}

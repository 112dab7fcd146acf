//! A build's log: the lines on the page, more of them, the raw text, and the stream.
//!
//! The page holds the last lines without any script. The viewer then follows the stream, which resumes by
//! itself after the last line it had (`Last-Event-ID`), so that nothing is missing after a lost connection.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{
        Html, IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use serde::Deserialize;
use slipway_store::Build;
use slipway_types::{SlugName, Timestamp};

use crate::{
    app::App,
    failure::Failure,
    services::{
        bells::BuildListener,
        build_logs::{BuildLogs, LogHead, LogLine as Line},
        builds_read::Report,
    },
    web::{
        ansi,
        session::SignedIn,
        view::report::{LogLine, LogLines, LogView},
        words,
    },
};

/// How many lines the page holds, and how many come at once.
const LINES: u64 = 1_000;
/// A stream looks by itself this often: other servers ring no bells here.
const LOOK: Duration = Duration::from_secs(1);

/// Which lines the page shall hold; without it, the last.
#[derive(Debug, Default, Deserialize)]
pub struct Window {
    before: Option<u64>,
    line: Option<u64>,
    /// The page is looked at again for its parts; the log, which has a stream of its own, is none.
    parts: Option<u8>,
}

/// The log, as the page holds it.
pub(super) async fn view(
    app: &App,
    report: &Report,
    base: &str,
    window: &Window,
) -> Result<LogView, Failure> {
    let build = &report.build;
    let head = app.logs.head(build).await?;
    let live = !build.state.is_final();
    let first = match (window.line, window.before) {
        (Some(wanted), _) => wanted.saturating_sub(LINES / 2),
        (None, Some(before)) => before.saturating_sub(LINES),
        (None, None) => (head.lines + 1).saturating_sub(LINES),
    }
    .max(1);
    let lines = match window.parts {
        Some(_) => Vec::new(),
        None => app.logs.lines(build, head, first, LINES).await?,
    };
    let limit = u64::try_from(report.plan.log_bytes).unwrap_or(0);
    Ok(LogView {
        stream: if live {
            format!("{base}/log/stream")
        } else {
            String::new()
        },
        more: format!("{base}/log/lines"),
        raw: format!("{base}/log"),
        earlier: (first > 1).then(|| format!("{base}?before={first}#log")),
        lines: lines.iter().map(shown).collect(),
        total: words::thousands(head.lines),
        size: format!(
            "{} of {}",
            words::bytes(head.bytes.unsigned_abs()),
            words::bytes(limit)
        ),
        live,
        empty: if live {
            "The log begins when the build does."
        } else {
            "There is no log: the build never ran."
        },
    })
}

fn shown(line: &Line) -> LogLine {
    LogLine {
        number: line.number,
        iso: line.at.to_string(),
        clock: words::clock(line.at),
        tone: ansi::tone(&line.text),
        html: ansi::to_html(&line.text),
    }
}

fn draw(lines: &[Line]) -> String {
    let lines = LogLines {
        lines: lines.iter().map(shown).collect(),
    };
    askama::Template::render(&lines).unwrap_or_default()
}

type Place = Path<(SlugName, SlugName, i64)>;

/// Which lines are wanted: those before a line, around one, or around the first that holds some words.
#[derive(Debug, Deserialize)]
pub struct More {
    before: Option<u64>,
    around: Option<u64>,
    find: Option<String>,
}

/// `GET /{namespace}/{repository}/builds/{number}/log/lines`: list items, for the viewer.
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn lines(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, number)): Place,
    Query(more): Query<More>,
) -> Result<Html<String>, Failure> {
    let build = app.logs.build(&who.caller, &namespace, &name, number).await?;
    let head = app.logs.head(&build).await?;
    let (from, count) = match (more.before, more.around, more.find) {
        (Some(before), _, _) => {
            let from = before.saturating_sub(LINES).max(1);
            (from, before.saturating_sub(from))
        }
        (None, Some(line), _) => (line.saturating_sub(LINES / 2), LINES),
        (None, None, Some(words)) if !words.trim().is_empty() => {
            match app.logs.find(&build, head, words.trim()).await? {
                Some(line) => (line.saturating_sub(LINES / 2), LINES),
                None => return Ok(Html(String::new())),
            }
        }
        (None, None, _) => ((head.lines + 1).saturating_sub(LINES), LINES),
    };
    Ok(Html(draw(&app.logs.lines(&build, head, from, count).await?)))
}

/// `GET /{namespace}/{repository}/builds/{number}/log`: the whole log, as text.
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn raw(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, number)): Place,
) -> Result<Response, Failure> {
    let build = app.logs.build(&who.caller, &namespace, &name, number).await?;
    let head = app.logs.head(&build).await?;
    let mut response = Response::new(raw_body(app.logs.clone(), build, head));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    let file = format!("attachment; filename=\"{namespace}-{name}-{number}.log\"");
    if let Ok(value) = HeaderValue::from_str(&file) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// The log, read piece by piece as the reader takes it.
pub(crate) fn raw_body(logs: BuildLogs, build: Build, head: LogHead) -> Body {
    let pieces = stream::try_unfold((logs, build, 0_i64), move |(logs, build, from)| async move {
        let piece = logs
            .raw(&build, head, from)
            .await
            .map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(piece.map(|(text, next)| (text, (logs, build, next))))
    });
    Body::from_stream(pieces)
}

/// Where a stream begins, when the browser does not say so itself.
#[derive(Debug, Deserialize)]
pub struct After {
    #[serde(default)]
    after: u64,
}

/// `GET /{namespace}/{repository}/builds/{number}/log/stream`: lines as they come.
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn follow(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, number)): Place,
    Query(after): Query<After>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let build = app.logs.build(&who.caller, &namespace, &name, number).await?;
    let after = last_event(&headers).unwrap_or(after.after);
    let follow = Follow {
        bell: app.bells.builds.listen(build.id),
        logs: app.logs.clone(),
        run: None,
        bytes: -1,
        build,
        after,
        over: false,
    };
    Ok(sse(follow.events()))
}

/// The last event that a browser got before it lost the connection.
pub(crate) fn last_event(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// A stream of events, kept alive, and not held back by proxies.
pub(crate) fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response();
    let headers = response.headers_mut();
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Follows one build's log.
struct Follow {
    logs: BuildLogs,
    build: Build,
    bell: BuildListener,
    /// Whose log it is: when a build is run again, its log begins again.
    run: Option<slipway_types::LeaseNo>,
    /// How much of it there was at the last look.
    bytes: i64,
    /// The last line that was sent whole.
    after: u64,
    over: bool,
}

impl Follow {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
        stream::unfold(self, |mut follow| async move {
            if follow.over {
                return None;
            }
            loop {
                match follow.look().await {
                    Ok(Some(event)) => return Some((Ok(event), follow)),
                    Ok(None) => follow.wait().await,
                    Err(failure) => {
                        // The browser comes back by itself, after the last line it had.
                        failure.log();
                        return None;
                    }
                }
            }
        })
    }

    async fn wait(&mut self) {
        let _ = tokio::time::timeout(LOOK, self.bell.rung()).await;
    }

    /// New lines, or the end; nothing when there is nothing new.
    async fn look(&mut self) -> Result<Option<Event>, Failure> {
        // The state first: what the log holds afterwards is all that there will be, if it had ended.
        let build = self.logs.again(&self.build).await?;
        let head = self.logs.head(&build).await?;
        if self.run.is_some_and(|run| run != head.run) {
            self.after = 0;
            self.bytes = -1;
        }
        self.run = Some(head.run);
        if head.bytes != self.bytes {
            let lines = self.logs.lines(&build, head, self.after + 1, LINES).await?;
            if let Some(last) = lines.last() {
                let whole = if last.number < head.lines {
                    last.number
                } else {
                    last.number - 1
                };
                let caught_up = last.number >= head.lines;
                self.after = whole;
                if caught_up {
                    self.bytes = head.bytes;
                }
                let id = whole.to_string();
                return Ok(Some(Event::default().event("lines").id(id).data(draw(&lines))));
            }
            self.bytes = head.bytes;
        }
        if build.state.is_final() {
            self.over = true;
            return Ok(Some(Event::default().event("over").data("")));
        }
        Ok(None)
    }
}

/// `GET /{namespace}/{repository}/builds/{number}/events`: says when the build went on, so that the page
/// looks again.
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn build_events(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, number)): Place,
) -> Result<Response, Failure> {
    let build = app.logs.build(&who.caller, &namespace, &name, number).await?;
    let bell = app.bells.builds.listen(build.id);
    let start = (app.logs.clone(), build, bell, None::<Mark>, false);
    let events = stream::unfold(start, |(logs, build, mut bell, mut seen, over)| async move {
        if over {
            return None;
        }
        loop {
            let Ok(now) = logs.again(&build).await else {
                return None;
            };
            let mark = Mark::of(&now);
            if now.state.is_final() {
                let event = Event::default().event("over").data("");
                return Some((Ok(event), (logs, now, bell, Some(mark), true)));
            }
            if seen.as_ref().is_some_and(|seen| *seen != mark) {
                let event = Event::default().event("changed").data("");
                return Some((Ok(event), (logs, now, bell, Some(mark), false)));
            }
            seen = Some(mark);
            let _ = tokio::time::timeout(LOOK, bell.rung()).await;
        }
    });
    Ok(sse(events))
}

/// What of a build shows on its report besides the log: its state, and how much its builder has told.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    state: slipway_types::build::BuildState,
    batch: i64,
    runs: i32,
    ended: Option<Timestamp>,
}

impl Mark {
    fn of(build: &Build) -> Self {
        Self {
            state: build.state,
            batch: build.batch_no,
            runs: build.runs,
            ended: build.ended_at,
        }
    }
}

//! A build's log: whole, a range of bytes (RFC 9110, 14), a range of lines, or as it comes.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use slipway_store::{Build, LogChunk};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    builds::BuildPath,
    extract::{Ask, Of},
    schema::{self, Time},
};
use crate::{
    app::App,
    failure::{self, Failure},
    services::{
        build_logs::{BuildLogs, LINES, LogHead},
        follow::{LogEvent, LogPlace},
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(events))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Window {
    /// Begin at this line, from 1.
    from_line: Option<u64>,
    /// How many lines, at most 1000; without either, the whole log.
    lines: Option<u64>,
}

/// A build's log, of its last run, as text.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/builds/{number}/log", tag = "builds",
    operation_id = "get_log",
    params(BuildPath, Window, ("Range" = Option<String>, Header, description = "One range of bytes, as `bytes=1000-`.")),
    responses(
        (status = 200, content_type = "text/plain; charset=utf-8", body = String),
        (status = 206, content_type = "text/plain; charset=utf-8", body = String)))]
async fn read(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuildPath>,
    Ask(window): Ask<Window>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let build = app
        .logs
        .build(&who, &path.namespace, &path.name, path.number)
        .await?;
    let head = app.logs.head(&build).await?;
    if window.from_line.is_some() || window.lines.is_some() {
        return lines(&app, &build, head, &window).await;
    }
    let range = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(byte_range);
    let Some(range) = range else {
        return Ok(text(
            StatusCode::OK,
            bytes(app.logs.clone(), build, head, 0, head.bytes),
        ));
    };
    let Some((start, end)) = range.within(head.bytes) else {
        let all = format!("bytes */{}", head.bytes);
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, all)]).into_response());
    };
    let mut response = text(
        StatusCode::PARTIAL_CONTENT,
        bytes(app.logs.clone(), build, head, start, end),
    );
    if let Ok(value) = HeaderValue::from_str(&format!("bytes {start}-{}/{}", end - 1, head.bytes)) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

async fn lines(app: &App, build: &Build, head: LogHead, window: &Window) -> Result<Response, Failure> {
    let (from, count) = (window.from_line.unwrap_or(1), window.lines.unwrap_or(LINES));
    if from == 0 || !(1..=LINES).contains(&count) {
        let field = if from == 0 { "from_line" } else { "lines" };
        return Err(Failure::invalid(
            field,
            format!("Lines are counted from 1, and 1 to {LINES} come at once."),
        ));
    }
    let found = app.logs.lines(build, head, from, count).await?;
    let mut body = String::new();
    for line in found {
        body.push_str(&line.text);
        body.push('\n');
    }
    Ok(text(StatusCode::OK, Body::from(body)))
}

fn text(status: StatusCode, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    (status, headers, body).into_response()
}

/// One range of bytes, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteRange {
    From(i64),
    Between(i64, i64),
    Last(i64),
}

impl ByteRange {
    /// First byte, and the one behind the last; none outside of what there is.
    fn within(self, size: i64) -> Option<(i64, i64)> {
        let (start, end) = match self {
            Self::From(start) => (start, size),
            Self::Between(start, last) => (start, last.saturating_add(1).min(size)),
            Self::Last(count) => (size.saturating_sub(count).max(0), size),
        };
        (start < end).then_some((start, end))
    }
}

/// The range of a `Range` header. Several, or another unit, are left alone: then the whole is sent.
fn byte_range(header: &str) -> Option<ByteRange> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
    match (first, last) {
        ("", last) => number(last).map(ByteRange::Last),
        (first, "") => number(first).map(ByteRange::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(ByteRange::Between(first, last))
        }
    }
}

/// The log's bytes from `start` up to `end`, read piece by piece as the reader takes them.
fn bytes(logs: BuildLogs, build: Build, head: LogHead, start: i64, end: i64) -> Body {
    let pieces = stream::try_unfold((logs, build, start), move |(logs, build, from)| async move {
        if from >= end {
            return Ok(None);
        }
        let piece = logs
            .raw(&build, head, from)
            .await
            .map_err(std::io::Error::other)?;
        let Some((text, next)) = piece else {
            return Ok(None);
        };
        let mut piece = text.into_bytes();
        // What begins within a character begins with its first byte: the text ends at `next`.
        let whole = usize::try_from(next - from).unwrap_or(usize::MAX);
        piece.drain(..piece.len().saturating_sub(whole));
        piece.truncate(usize::try_from(end - from).unwrap_or(usize::MAX));
        Ok::<_, std::io::Error>(Some((piece, (logs, build, next))))
    });
    Body::from_stream(pieces)
}

/// A piece of log, as it comes: the data of an event `log`.
#[derive(Debug, Serialize, ToSchema)]
struct LogPiece {
    #[schema(schema_with = schema::phase)]
    phase: &'static str,
    /// Where in the run's log it begins, in bytes.
    offset: i64,
    at: Time,
    text: String,
}

impl From<LogChunk> for LogPiece {
    fn from(chunk: LogChunk) -> Self {
        Self {
            phase: chunk.phase.as_str(),
            offset: chunk.byte_offset,
            at: chunk.at.into(),
            text: chunk.text,
        }
    }
}

/// How a build stands: the data of the events `state` and `end`.
#[derive(Debug, Serialize, ToSchema)]
struct StateNow {
    #[schema(schema_with = schema::build_state)]
    state: &'static str,
}

/// Follows a build's log, from its beginning, or from behind `Last-Event-ID`, until it has ended.
///
/// Server-sent events: `log` with a piece of it, `run` when another run begins (what came before is of a lost one),
/// `state` when something changed, and `end` as the last.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/builds/{number}/log/events", tag = "builds",
    operation_id = "follow_log",
    params(BuildPath, ("Last-Event-ID" = Option<String>, Header, description = "Go on behind this event.")),
    responses((status = 200, content_type = "text/event-stream", body = LogPiece)))]
async fn events(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuildPath>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let build = app
        .logs
        .build(&who, &path.namespace, &path.name, path.number)
        .await?;
    let from = match headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or_default())
    {
        None | Some("") => LogPlace::START,
        Some(text) => text.parse().map_err(|_| {
            Failure::new(
                failure::MALFORMED,
                "`Last-Event-ID` is not an id of an event of this stream.",
            )
        })?,
    };
    // An error ends the stream; its reader asks again from where it was.
    let told = app
        .follow
        .build(build.id, from)
        .take_while(|event| std::future::ready(event.is_ok()));
    let events = told
        .filter_map(|event| std::future::ready(event.ok()))
        .map(|event| Ok(draw(event)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn draw(event: LogEvent) -> Event {
    let (name, id, data) = match event {
        LogEvent::Chunk { chunk, place } => {
            ("log", Some(place), serde_json::to_string(&LogPiece::from(chunk)))
        }
        LogEvent::Run(run) => (
            "run",
            None,
            serde_json::to_string(&serde_json::json!({ "run": run.0 })),
        ),
        LogEvent::Changed(state) => (
            "state",
            None,
            serde_json::to_string(&StateNow {
                state: state.as_str(),
            }),
        ),
        LogEvent::Ended(state) => (
            "end",
            None,
            serde_json::to_string(&StateNow {
                state: state.as_str(),
            }),
        ),
    };
    let event = Event::default().event(name).data(data.unwrap_or_default());
    match id {
        Some(place) => event.id(place.to_string()),
        None => event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        let within = |header, size| byte_range(header).and_then(|range| range.within(size));
        assert_eq!(within("bytes=2-4", 10), Some((2, 5)));
        assert_eq!(within("bytes=2-", 10), Some((2, 10)));
        assert_eq!(within("bytes=-3", 10), Some((7, 10)));
        assert_eq!(within("bytes=-30", 10), Some((0, 10)));
        assert_eq!(within("bytes=8-99", 10), Some((8, 10)));
        assert_eq!(within("bytes=10-", 10), None);
        assert_eq!(within("bytes=-0", 10), None);
        for whole in ["bytes=4-2", "bytes=1-2,4-5", "lines=1-2", "bytes=x-", "bytes=--1"] {
            assert_eq!(byte_range(whole), None, "{whole}");
        }
    }
}

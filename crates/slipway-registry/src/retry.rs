//! When to ask again, and how long to wait before.

use std::time::{Duration, SystemTime};

use reqwest::{StatusCode, header::HeaderMap};

/// How often a request is made, and how long is waited in between.
///
/// Waits double from `first` up to `most`, and differ by up to a quarter so that many callers do not return
/// at one moment. A registry's `Retry-After` (RFC 9110, 10.2.3) is honoured, up to `most`.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Requests made in all; at least one.
    pub attempts: u32,
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Default for Retry {
    /// Five attempts, from half a second to a minute.
    fn default() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(500),
            most: Duration::from_mins(1),
        }
    }
}

impl Retry {
    /// One attempt: for a person who is waiting for the answer.
    pub const ONCE: Self = Self {
        attempts: 1,
        first: Duration::ZERO,
        most: Duration::ZERO,
    };

    /// How long to wait after the attempt of this number (from 1) failed; none when it was the last.
    pub fn wait_after(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let wait = asked.unwrap_or_else(|| doubled.mul_f64(rand::random_range(1.0..1.25)));
        Some(wait.min(self.most))
    }
}

/// Whether an answer with this status may become better by itself.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// `Retry-After`, in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_end_with_the_attempts() {
        let retry = Retry {
            attempts: 4,
            first: Duration::from_secs(1),
            most: Duration::from_secs(3),
        };
        let second = retry.wait_after(2, None).unwrap();
        assert!(second >= Duration::from_secs(2) && second < Duration::from_millis(2_500));
        assert_eq!(retry.wait_after(3, None), Some(Duration::from_secs(3)));
        assert_eq!(retry.wait_after(4, None), None);
        assert_eq!(Retry::ONCE.wait_after(1, None), None);
    }

    #[test]
    fn what_the_registry_asks_for_is_honoured_up_to_the_most() {
        let retry = Retry::default();
        assert_eq!(
            retry.wait_after(1, Some(Duration::from_secs(7))),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            retry.wait_after(1, Some(Duration::from_secs(7_000))),
            Some(Duration::from_mins(1))
        );
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let at = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(reqwest::header::RETRY_AFTER, text.parse().unwrap());
            retry_after(
                &headers,
                httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap(),
            )
        };
        assert_eq!(at("120"), Some(Duration::from_mins(2)));
        assert_eq!(at("Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
        assert_eq!(at("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(at("soon"), None);
    }
}

//! As much HTTP as it takes to ask an engine's socket and a registry: one request, one answer.
//!
//! HTTP/1.0, so that an answer is never chunked and ends with its connection (RFC 1945, section 7.2.2).
//! No client library does this over a unix socket without bringing a runtime.

use std::io::{self, Read, Write};

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends a `GET` over an open connection. `headers` are whole lines without their ends.
pub(crate) fn get(mut connection: impl Read + Write, path: &str, headers: &[String]) -> io::Result<Answer> {
    let mut request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    connection.write_all(request.as_bytes())?;

    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no HTTP answer"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        headers: headers.to_owned(),
        body: answer[end + 4..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer =
            parse(b"HTTP/1.0 404 Not Found\r\nDocker-Content-Digest:  sha256:ab \r\n\r\nbody").unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("docker-content-digest"), Some("sha256:ab"));
        assert_eq!(answer.body, b"body");
    }

    #[test]
    fn what_is_no_http_is_refused() {
        for text in ["", "hello", "HTTP/1.0\r\n\r\n", "HTTP/1.0 many\r\n\r\n"] {
            assert!(
                parse(text.as_bytes()).is_none(),
                "{text:?} was taken for an answer"
            );
        }
    }
}

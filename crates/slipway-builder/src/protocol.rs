//! The lines between a builder and a pipeline: one JSON object each, at most [`MAX_LINE`] bytes
//! (slipway-types, `protocol`). Whatever else comes is an error, never a panic and never memory without bound.

use serde::{Serialize, de::DeserializeOwned};
use slipway_types::protocol::MAX_LINE;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use futures::StreamExt;

/// Why a line could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// It has no end, or comes too late.
    #[error("a line of more than {MAX_LINE} bytes")]
    TooLong,
    /// The other side is gone, or what it sent is no text.
    #[error("the line broke off")]
    Broken(#[source] std::io::Error),
    /// It is not one of the protocol's lines.
    #[error("a line that is not of the protocol")]
    Junk(#[source] serde_json::Error),
}

impl ProtocolError {
    /// Stable word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooLong => "line_too_long",
            Self::Broken(_) => "line_broken",
            Self::Junk(_) => "line_junk",
        }
    }
}

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    framed: FramedRead<R, LinesCodec>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads from `from`.
    pub fn new(from: R) -> Self {
        Self {
            framed: FramedRead::new(from, LinesCodec::new_with_max_length(MAX_LINE)),
        }
    }

    /// The next line; none at the end. May be dropped and called again without losing anything.
    ///
    /// # Errors
    /// [`ProtocolError`]; there is no use in reading on.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ProtocolError> {
        match self.framed.next().await {
            None => Ok(None),
            Some(Ok(line)) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|e| ProtocolError::Junk(without_text(&e))),
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => Err(ProtocolError::TooLong),
            Some(Err(LinesCodecError::Io(error))) => Err(ProtocolError::Broken(error)),
        }
    }
}

/// serde_json quotes values in its errors, and the builder's line holds secrets: only the place is kept.
fn without_text(error: &serde_json::Error) -> serde_json::Error {
    serde::de::Error::custom(format_args!("column {}, {:?}", error.column(), error.classify()))
}

/// Writes one line.
///
/// # Errors
/// [`ProtocolError::TooLong`] before anything is written, [`ProtocolError::Broken`] when the other side is gone.
pub async fn write_line<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    line: &T,
) -> Result<(), ProtocolError> {
    let mut bytes = serde_json::to_vec(line).map_err(ProtocolError::Junk)?;
    if bytes.len() >= MAX_LINE {
        return Err(ProtocolError::TooLong);
    }
    bytes.push(b'\n');
    to.write_all(&bytes).await.map_err(ProtocolError::Broken)?;
    to.flush().await.map_err(ProtocolError::Broken)
}

#[cfg(test)]
mod tests {
    use slipway_types::protocol::ToPipeline;

    use super::*;

    async fn read(bytes: &[u8]) -> Result<Option<ToPipeline>, ProtocolError> {
        Lines::new(bytes).next().await
    }

    #[tokio::test]
    async fn a_line_is_read_and_the_end_is_seen() {
        let mut lines = Lines::new(&b"{\"say\":\"renewed\",\"for_ms\":7}\n"[..]);
        assert!(matches!(
            lines.next().await,
            Ok(Some(ToPipeline::Renewed { for_ms: 7 }))
        ));
        assert!(matches!(lines.next::<ToPipeline>().await, Ok(None)));
    }

    #[tokio::test]
    async fn junk_is_an_error_that_does_not_quote_it() {
        let error = read(b"{\"say\":\"canary\"}\n").await.unwrap_err();
        assert_eq!(error.kind(), "line_junk");
        let ProtocolError::Junk(source) = error else {
            unreachable!()
        };
        assert!(!source.to_string().contains("canary"));
        assert_eq!(read(b"\xff\xfe\n").await.unwrap_err().kind(), "line_broken");
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_collected() {
        let endless = tokio::io::repeat(b'x');
        let error = Lines::new(endless).next::<ToPipeline>().await.unwrap_err();
        assert!(matches!(error, ProtocolError::TooLong));
    }
}

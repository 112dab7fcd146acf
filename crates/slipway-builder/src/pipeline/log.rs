//! The output of programs on its way into the log: bytes become text, secrets become marks.
//!
//! Bytes come cut anywhere, within a character or within a secret; neither may show. What is no UTF-8 is replaced
//! by U+FFFD, as the log is text for people.

use slipway_types::{
    build::Phase,
    protocol::{FromPipeline, Step},
};
use slipway_vault::mask::Masker;

use super::say::Say;

/// Looks at a program's lines as they come, before they are masked.
pub(super) trait Watch: Send + Sync {
    /// A line, without its end. What is returned is said (and masked) at this place of the log.
    fn line(&mut self, line: &str) -> Vec<Step>;
}

/// The longest line that is shown to a [`Watch`] whole, in bytes; longer ones are cut.
const LONGEST: usize = 64 << 10;

/// One program's way into the log.
pub(super) struct LogStream<W> {
    say: Say,
    phase: Phase,
    decoder: Decoder,
    masker: Masker,
    watch: Option<W>,
    line: String,
}

impl<W: Watch> LogStream<W> {
    pub(super) fn new(say: &Say, phase: Phase, watch: Option<W>) -> Self {
        Self {
            say: say.clone(),
            phase,
            decoder: Decoder::default(),
            masker: say.masker(),
            watch,
            line: String::new(),
        }
    }

    pub(super) async fn push(&mut self, bytes: &[u8]) {
        let text = self.decoder.push(bytes);
        self.watch(&text).await;
        let masked = self.masker.push(&text);
        self.emit(masked).await;
    }

    pub(super) async fn finish(mut self) {
        let rest = self.decoder.finish();
        self.watch(rest).await;
        if !self.line.is_empty() {
            self.watch("\n").await;
        }
        let mut masked = self.masker.push(rest);
        masked.push_str(&self.masker.finish());
        self.emit(masked).await;
    }

    async fn emit(&self, text: String) {
        if !text.is_empty() {
            let phase = self.phase;
            self.say.line(FromPipeline::Log { phase, text }).await;
        }
    }

    async fn watch(&mut self, text: &str) {
        let Some(watch) = &mut self.watch else { return };
        for piece in text.split_inclusive('\n') {
            if self.line.len() < LONGEST {
                self.line.push_str(piece);
            }
            if piece.ends_with('\n') {
                for step in watch.line(self.line.trim_end_matches(['\n', '\r'])) {
                    self.say.step(step).await;
                }
                self.line.clear();
            }
        }
    }
}

/// Makes text of bytes that come in pieces.
#[derive(Debug, Default)]
struct Decoder {
    /// The beginning of a character.
    held: Vec<u8>,
}

impl Decoder {
    fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        let keep = loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    break 0;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(bad) = error.error_len() else {
                        break after.len();
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[bad..];
                }
            }
        };
        let done = self.held.len() - keep;
        self.held.drain(..done);
        text
    }

    /// What is left at the end is no character.
    fn finish(&mut self) -> &'static str {
        if std::mem::take(&mut self.held).is_empty() {
            ""
        } else {
            "\u{fffd}"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decoder;

    fn decoded(pieces: &[&[u8]]) -> String {
        let mut decoder = Decoder::default();
        let mut text: String = pieces.iter().map(|p| decoder.push(p)).collect();
        text.push_str(decoder.finish());
        text
    }

    #[test]
    fn a_character_that_is_cut_is_whole_again() {
        assert_eq!(decoded(&[b"a\xe2", b"\x82", b"\xacb"]), "a€b");
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(decoded(&[b"a\xffb", b"\xe2\x82"]), "a\u{fffd}b\u{fffd}");
        assert_eq!(decoded(&[b"\xe2", b"x"]), "\u{fffd}x");
    }
}

//! Log lines for people: escaped, colours as classes.
//!
//! Programs colour their output with SGR sequences (ECMA-48, 8.3.117). Inline styles would break the
//! Content-Security-Policy, so the eight colours, bold, dim and underline become classes; every other
//! sequence is left out. What a build prints is a stranger's text: nothing of it reaches a page unescaped.

use std::fmt;

/// Text that is safe to insert into a page: made by [`to_html`] only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Html(String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl askama::filters::HtmlSafe for Html {}

/// At most this many characters of a line are shown, so that one line cannot stall a browser. The raw log
/// has them all.
pub const SHOWN: usize = 20_000;

#[derive(Default, Clone, PartialEq, Eq)]
struct Style {
    bold: bool,
    dim: bool,
    underline: bool,
    colour: Option<u16>,
}

impl Style {
    fn classes(&self) -> String {
        let mut classes = Vec::new();
        if self.bold {
            classes.push("a-b".to_owned());
        }
        if self.dim {
            classes.push("a-d".to_owned());
        }
        if self.underline {
            classes.push("a-u".to_owned());
        }
        if let Some(colour) = self.colour {
            classes.push(format!("a-{colour}"));
        }
        classes.join(" ")
    }

    fn set(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|n| n.parse().unwrap_or(0));
        while let Some(n) = numbers.next() {
            match n {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                4 => self.underline = true,
                22 => (self.bold, self.dim) = (false, false),
                24 => self.underline = false,
                30..=36 | 90..=96 => self.colour = Some(n),
                37 | 39 | 97 => self.colour = None,
                // 256 colours and true colour: their parameters are skipped, the text stays as it is.
                38 | 48 => match numbers.next() {
                    Some(5) => drop(numbers.next()),
                    Some(2) => drop(numbers.nth(2)),
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

/// Turns one line into HTML.
pub fn to_html(line: &str) -> Html {
    // A carriage return draws over what is there, as progress bars do: only what is left at the end counts.
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or("");
    let mut html = String::with_capacity(line.len() + 16);
    let mut style = Style::default();
    let mut open = false;
    let mut shown = 0;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            let before = style.clone();
            rest = skip_sequence(rest, &mut style);
            if style != before {
                if open {
                    html.push_str("</span>");
                }
                let classes = style.classes();
                open = !classes.is_empty();
                if open {
                    html.push_str("<span class=\"");
                    html.push_str(&classes);
                    html.push_str("\">");
                }
            }
            continue;
        }
        if c.is_control() && c != '\t' {
            continue;
        }
        shown += 1;
        if shown > SHOWN {
            html.push_str(" […]");
            break;
        }
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    if open {
        html.push_str("</span>");
    }
    Html(html)
}

/// Reads what follows an escape character. `CSI … m` sets the style, `OSC … BEL` and all others are skipped.
fn skip_sequence<'a>(mut rest: std::str::Chars<'a>, style: &mut Style) -> std::str::Chars<'a> {
    match rest.next() {
        Some('[') => {
            let start = rest.as_str();
            while let Some(c) = rest.next() {
                if ('@'..='~').contains(&c) {
                    if c == 'm' {
                        let length = start.len() - rest.as_str().len() - 1;
                        style.set(&start[..length]);
                    }
                    break;
                }
            }
        }
        Some(']') => {
            let mut last = ' ';
            for c in rest.by_ref() {
                if c == '\u{7}' || (last == '\u{1b}' && c == '\\') {
                    break;
                }
                last = c;
            }
        }
        _ => {}
    }
    rest
}

/// What a line is, for its looks: our own lines say so in their first characters, BuildKit's in their second word.
pub fn tone(line: &str) -> &'static str {
    if line.starts_with("== ") {
        return "ph";
    }
    if line.starts_with("$ ") {
        return "cmd";
    }
    if line.starts_with("!! ") {
        return "err";
    }
    let Some(step) = line.strip_prefix('#') else {
        return "";
    };
    let word = step.split_ascii_whitespace().nth(1).unwrap_or("");
    match word {
        "CACHED" => "dim",
        "ERROR" | "ERROR:" => "err",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(line: &str) -> String {
        to_html(line).to_string()
    }

    #[test]
    fn what_a_build_prints_is_escaped() {
        assert_eq!(
            html("<script>alert('1')</script> & \"x\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;"
        );
    }

    #[test]
    fn colours_become_classes_and_are_closed() {
        assert_eq!(
            html("\u{1b}[31mred\u{1b}[0m and \u{1b}[1;32mgood"),
            "<span class=\"a-31\">red</span> and <span class=\"a-b a-32\">good</span>"
        );
        assert_eq!(html("\u{1b}[38;5;200mx\u{1b}[38;2;1;2;3my"), "xy");
    }

    #[test]
    fn other_sequences_are_left_out() {
        assert_eq!(
            html("a\u{1b}[2Kb\u{1b}]0;title\u{7}c\u{1b}(Bd\u{1b}]8;;http://x\u{1b}\\e"),
            "abcBde"
        );
        assert_eq!(html("never ends \u{1b}["), "never ends ");
        assert_eq!(html("\u{1b}"), "");
    }

    #[test]
    fn a_progress_bar_shows_its_end() {
        assert_eq!(html("10%\r50%\r100%\r"), "100%");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = "x".repeat(SHOWN * 3);
        assert!(html(&long).len() < SHOWN + 20);
    }

    #[test]
    fn our_own_lines_are_told_apart() {
        assert_eq!(tone("== build"), "ph");
        assert_eq!(tone("$ docker build ."), "cmd");
        assert_eq!(tone("#5 CACHED"), "dim");
        assert_eq!(tone("#7 ERROR: process did not complete"), "err");
        assert_eq!(tone("#7 12.3 hello"), "");
    }
}

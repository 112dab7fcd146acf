//! Checks of the fields that Docker Hub did not have: platforms, build arguments, target.

use std::collections::BTreeMap;

use crate::error::{Field, RuleError, RuleErrorKind};

/// Most platforms of one rule.
const MAX_PLATFORMS: usize = 16;
/// Most build arguments of one rule.
const MAX_ARGS: usize = 100;
/// Longest value of a build argument, in bytes; well below what one argument may have (execve(2), 128 KiB).
const MAX_ARG_BYTES: usize = 32 * 1024;
/// Longest name of a build argument or stage, in bytes.
const MAX_NAME: usize = 128;

/// Platforms as `os/architecture[/variant]` (OCI image index specification 1.1, `platform`), each once.
pub(crate) fn platforms(entered: &[String]) -> Result<Vec<String>, RuleError> {
    let mut checked: Vec<String> = Vec::new();
    for (item, text) in entered.iter().enumerate() {
        let refuse = |reason| Err(RuleError::new(Field::Platforms, text, 0, reason).in_item(item));
        let platform = text.trim().to_ascii_lowercase();
        if !is_platform(&platform) {
            return refuse(RuleErrorKind::Platform);
        }
        if checked.len() == MAX_PLATFORMS {
            return refuse(RuleErrorKind::TooLong {
                max: MAX_PLATFORMS,
                unit: "platforms",
            });
        }
        if !checked.contains(&platform) {
            checked.push(platform);
        }
    }
    Ok(checked)
}

fn is_platform(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && part.len() <= 32
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
    };
    matches!(parts.len(), 2 | 3) && parts.iter().all(plain)
}

/// Names as of shell variables, so that a Dockerfile's `ARG` and `$NAME` can refer to them.
pub(crate) fn build_args(entered: &BTreeMap<String, String>) -> Result<(), RuleError> {
    for (item, (name, value)) in entered.iter().enumerate() {
        let refuse =
            |at, text: &str, reason| Err(RuleError::new(Field::BuildArgs, text, at, reason).in_item(item));
        if item == MAX_ARGS {
            return refuse(
                0,
                name,
                RuleErrorKind::TooLong {
                    max: MAX_ARGS,
                    unit: "build arguments",
                },
            );
        }
        if let Some(at) = bad_in_name(name) {
            return refuse(at, name, RuleErrorKind::BuildArgName);
        }
        if value.len() > MAX_ARG_BYTES {
            return refuse(
                0,
                value,
                RuleErrorKind::TooLong {
                    max: MAX_ARG_BYTES,
                    unit: "bytes",
                },
            );
        }
        if let Some(at) = value.find('\0') {
            return refuse(at, value, RuleErrorKind::Nul);
        }
    }
    Ok(())
}

fn bad_in_name(name: &str) -> Option<usize> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(0);
    }
    if name.len() > MAX_NAME {
        return Some(MAX_NAME);
    }
    name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// A stage's name or number (Dockerfile reference, `FROM … AS`); blank for none.
pub(crate) fn target(entered: Option<&str>) -> Result<Option<String>, RuleError> {
    let Some(text) = entered else { return Ok(None) };
    let name = text.trim();
    if name.is_empty() {
        return Ok(None);
    }
    let bad = |(at, c): &(usize, char)| {
        !(c.is_ascii_alphanumeric() || (*at > 0 && matches!(c, '_' | '.' | '-'))) || *at >= MAX_NAME
    };
    let blanks = text.len() - text.trim_start().len();
    match name.char_indices().find(bad) {
        Some((at, _)) => Err(RuleError::new(
            Field::Target,
            text,
            blanks + at,
            RuleErrorKind::Target,
        )),
        None => Ok(Some(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_checked_and_kept_once() {
        let list = |items: &[&str]| items.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            platforms(&list(&[" linux/amd64", "linux/ARM/v7", "linux/amd64"])).unwrap(),
            list(&["linux/amd64", "linux/arm/v7"])
        );
        for bad in ["amd64", "linux/", "linux/a/b/c", "linux/amd64,linux/arm64", ""] {
            assert_eq!(
                platforms(&list(&["linux/amd64", bad])).unwrap_err().item(),
                Some(1),
                "{bad}"
            );
        }
    }

    #[test]
    fn build_argument_names_are_variables_names() {
        let args = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert!(build_args(&args("HTTP_PROXY", "x y\n=z")).is_ok());
        assert_eq!(build_args(&args("A-B", "")).unwrap_err().position(), 1);
        assert_eq!(build_args(&args("1A", "")).unwrap_err().kind(), "build_arg_name");
        assert_eq!(build_args(&args("A", "a\0")).unwrap_err().kind(), "nul");
    }

    #[test]
    fn a_target_is_a_stage() {
        assert_eq!(target(Some(" prod-1 ")).unwrap().as_deref(), Some("prod-1"));
        assert_eq!(target(Some(" ")).unwrap(), None);
        assert_eq!(target(Some(" -x")).unwrap_err().position(), 1);
        assert_eq!(target(Some("a b")).unwrap_err().position(), 1);
    }
}

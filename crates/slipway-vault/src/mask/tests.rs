use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;

fn masker(secrets: &[&str]) -> Masker {
    Masker::new(secrets.iter().map(|&secret| SecretString::from(secret)))
}

/// Masks `text` given in pieces that end at these places.
fn in_pieces(masker: &Masker, text: &str, cuts: &[usize]) -> String {
    let mut stream = masker.fresh();
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| text.floor_char_boundary(cut % (text.len() + 1)))
        .collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    let mut out: String = cuts
        .windows(2)
        .map(|cut| stream.push(&text[cut[0]..cut[1]]))
        .collect();
    out.push_str(&stream.finish());
    out
}

#[test]
fn a_secret_is_replaced_wherever_it_stands() {
    let m = masker(&["hunter22"]);
    assert_eq!(
        m.mask("pass=hunter22; hunter2 hunter22hunter22!"),
        "pass=***; hunter2 ***!"
    );
}

#[test]
fn overlapping_secrets_leave_nothing_of_either() {
    assert_eq!(masker(&["abcdef", "defghi"]).mask("xabcdefghix"), "x***x");
    assert_eq!(
        masker(&["abcd", "xxabcdyy"]).mask("xxabcdyy xxabcdy"),
        "*** xx***y"
    );
}

#[test]
fn only_what_may_begin_a_secret_is_held_back() {
    let mut m = masker(&["secret-value"]);
    assert_eq!(m.push("nothing here\n"), "nothing here\n");
    assert_eq!(m.push("a secre"), "a ");
    assert_eq!(m.push("ts"), "secret");
    assert_eq!(m.push("ecret-val"), "");
    assert_eq!(m.push("ue."), "***.");
    assert_eq!(m.push("sec"), "");
    assert_eq!(m.finish(), "sec");
}

#[test]
fn encoded_forms_are_found_at_any_offset() {
    let secret = "p/ss wörd+with\"all?~";
    let m = masker(&[secret]);
    for before in ["", "u", "us", "use", "user:"] {
        for after in ["", "x", "xy", "\n"] {
            let text = format!("{before}{secret}{after}");
            for encoded in [
                STANDARD.encode(&text),
                base64::engine::general_purpose::URL_SAFE.encode(&text),
                hex::encode(&text),
                hex::encode_upper(&text),
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
                serde_json::to_string(&text).unwrap(),
            ] {
                let masked = m.mask(&encoded);
                assert!(masked.contains("***"), "{encoded}");
                // The few characters at the border mix secret and neighbour, and tell at most a byte of it.
                assert!(
                    masked.len() <= "***".len() + 3 * (before.len() + after.len()) + 12,
                    "{masked}"
                );
            }
        }
    }
    assert_eq!(m.mask("p%2Fss%20w%C3%B6rd%2Bwith%22all%3F~"), "***");
    assert_eq!(m.mask("p%2fss%20w%c3%b6rd%2bwith%22all%3f~"), "***");
    assert_eq!(m.mask("/p/ss%20w%C3%B6rd%2Bwith%22all%3F~"), "/***");
}

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDTESTTESTTESTTESTTESTTESTTESTTESTTESTTESTTESTQAAAJgAAAAAAA
AAAAtzc2gtZWQyNTUxOQAAACDTEST=
-----END OPENSSH PRIVATE KEY-----
";

#[test]
fn a_private_key_is_masked_line_by_line_and_in_broken_base64() {
    let m = masker(&[KEY]);
    for line in KEY.lines().filter(|line| !line.starts_with("-----")) {
        assert_eq!(m.mask(&format!("> {line}\r\n")), "> ***\r\n");
    }
    assert_eq!(
        m.mask("-----BEGIN OPENSSH PRIVATE KEY-----"),
        "-----BEGIN OPENSSH PRIVATE KEY-----"
    );
    assert!(!m.mask(&KEY.replace('\n', " ")).contains("AAAA"));
    assert!(!m.mask(&KEY.replace('\n', "\\n")).contains("AAAA"));
    for width in [64, 76] {
        let encoded = STANDARD.encode(KEY);
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(width)
            .map(|l| std::str::from_utf8(l).unwrap())
            .collect();
        for line in &lines[..lines.len() - 1] {
            assert_eq!(m.mask(line), "***");
        }
    }
}

#[test]
fn short_secrets_and_plain_words_are_left_alone() {
    let m = masker(&["1", "on", "abc", "TRUE", "false", " ", ""]);
    assert_eq!(m.mask("1 on abc TRUE true false"), "1 on abc TRUE true false");
    assert_eq!(masker(&[]).mask("anything"), "anything");
    assert_eq!(masker(&[" abcd\n"]).mask("abcd"), "***");
}

#[test]
fn the_mark_cannot_complete_a_secret() {
    assert_eq!(masker(&["****"]).mask("a****b"), "a•••b");
    let m = masker(&["**ab", "secret"]);
    assert_eq!(m.mark(), "•••");
    assert_eq!(m.mask("secretab"), "•••ab");
}

#[test]
fn debug_tells_no_secret() {
    assert!(!format!("{:?}", masker(&["canary-1"])).contains("canary"));
}

proptest! {
    /// A tiny alphabet, so that secrets overlap, nest and repeat all the time.
    #[test]
    fn cuts_do_not_matter_and_no_secret_remains(
        secrets in prop::collection::vec("[ab]{4,6}|[abé]{4,5}|[ab\n]{8,20}", 0..5),
        text in "[abé\n]{0,60}",
        cuts in prop::collection::vec(0_usize..200, 0..12),
    ) {
        let m = Masker::new(secrets.iter().map(|s| SecretString::from(s.as_str())));
        let whole = m.mask(&text);
        prop_assert_eq!(&in_pieces(&m, &text, &cuts), &whole);
        for secret in secrets.iter().map(|s| s.trim()).filter(|s| s.chars().count() >= MIN_SECRET) {
            prop_assert!(!whole.contains(secret), "{secret:?} in {whole:?}");
        }
    }

    #[test]
    fn any_secret_in_any_text_is_gone(
        secret in "\\PC{4,40}",
        (before, after) in ("\\PC{0,40}", "\\PC{0,40}"),
        cuts in prop::collection::vec(0_usize..200, 0..6),
    ) {
        let word = secret.trim();
        prop_assume!(word.chars().count() >= MIN_SECRET);
        prop_assume!(!["true", "false", "null", "none"].contains(&word.to_ascii_lowercase().as_str()));
        let m = masker(&[&secret]);
        let text = format!("{before}{secret}{after}");
        let masked = in_pieces(&m, &text, &cuts);
        prop_assert!(!masked.contains(word), "{masked:?}");
        prop_assert_eq!(masked, m.mask(&text));
    }

    #[test]
    fn text_without_secrets_passes_unchanged(text in "\\PC{0,80}", cuts in prop::collection::vec(0_usize..200, 0..6)) {
        prop_assert_eq!(in_pieces(&masker(&["\u{1}never\u{1}"]), &text, &cuts), text);
    }
}

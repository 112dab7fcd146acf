//! The forms in which a secret is searched for.

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, SecretString};

/// Shortest secret that is masked, in characters.
pub const MIN_SECRET: usize = 4;
/// Shortest line of a secret of several lines that is masked by itself, in characters. Longer than
/// [`MIN_SECRET`], since such lines may be plain words of a configuration file.
pub const MIN_LINE: usize = 8;
/// Shortest encoded form that is masked, in characters. Shorter ones would be found by chance.
const MIN_ENCODED: usize = 4;
/// Where `base64` (coreutils, RFC 2045) and `openssl base64` (RFC 7468) break lines, in characters.
const BASE64_LINES: [usize; 2] = [76, 64];
/// Values of switches: no secrets, and in every log.
const PLAIN_WORDS: [&str; 4] = ["true", "false", "null", "none"];

/// All forms of all secrets, each once.
pub(crate) fn of_all(secrets: impl IntoIterator<Item = SecretString>) -> Vec<Vec<u8>> {
    let mut forms = BTreeSet::new();
    for secret in secrets {
        // Blanks around a secret are seldom printed with it, and never what makes it one.
        let text = secret.expose_secret().trim();
        let plain = PLAIN_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
        if text.chars().count() >= MIN_SECRET && !plain {
            add(text, &mut forms);
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn add(secret: &str, forms: &mut BTreeSet<String>) {
    forms.insert(secret.to_owned());
    forms.extend(lines(secret));
    for url in [false, true] {
        forms.extend(
            (0..3)
                .map(|offset| base64_within(secret.as_bytes(), offset, url))
                .filter(|form| form.len() >= MIN_ENCODED),
        );
    }
    forms.extend(base64_lines(secret));
    let hex = hex::encode(secret);
    forms.insert(hex.to_ascii_uppercase());
    forms.insert(hex);
    forms.extend(url_encoded(secret));
    let json = serde_json::Value::from(secret).to_string();
    forms.insert(json[1..json.len() - 1].to_owned());
}

/// The lines of a secret that has several, less what every private key has in common.
fn lines(secret: &str) -> impl Iterator<Item = String> {
    let several = secret.contains('\n');
    secret
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(move |line| several && line.chars().count() >= MIN_LINE && !is_pem_boundary(line))
        .map(str::to_owned)
}

/// RFC 7468: `-----BEGIN OPENSSH PRIVATE KEY-----`.
fn is_pem_boundary(line: &str) -> bool {
    line.starts_with("-----BEGIN ") || line.starts_with("-----END ")
}

/// What any base64 of a text shows of a secret that begins `offset` bytes into a group of three: the characters
/// that depend on the secret alone.
fn base64_within(secret: &[u8], offset: usize, url: bool) -> String {
    let padded = [&[0; 2][..offset], secret].concat();
    let encoded = if url {
        URL_SAFE_NO_PAD.encode(&padded)
    } else {
        STANDARD_NO_PAD.encode(&padded)
    };
    let first = (offset * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    encoded.get(first..last).unwrap_or_default().to_owned()
}

/// The lines of a long secret's base64, as programs break it.
fn base64_lines(secret: &str) -> impl Iterator<Item = String> {
    let whole = base64_within(secret.as_bytes(), 0, false);
    BASE64_LINES.into_iter().flat_map(move |width| {
        let broken = whole.len() > width;
        let lines: Vec<String> = whole
            .as_bytes()
            .chunks(width)
            .filter(|line| broken && line.len() >= MIN_LINE)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        lines
    })
}

/// Percent-encodings differ in what they leave as it is besides letters and digits, and in what they make of a
/// blank. `+` there stands for the latter.
const URL_KEPT: [(&[u8], &str); 6] = [
    (b"-._~", "%20"),          // RFC 3986, "unreserved"
    (b"-._~/", "%20"),         // the same in a path
    (b"-._~!*'()", "%20"),     // ECMAScript's encodeURIComponent
    (b"-._~!$&'()*+,", "%20"), // WHATWG URL, user name and password
    (b"-._*", "+"),            // WHATWG URL, application/x-www-form-urlencoded
    (b"-._~", "+"),            // the same by other libraries
];

/// The URL-encoded forms, with capital and with small digits.
fn url_encoded(secret: &str) -> impl Iterator<Item = String> {
    URL_KEPT.iter().flat_map(move |(kept, blank)| {
        let mut capital = String::with_capacity(secret.len() * 3);
        let mut small = String::with_capacity(secret.len() * 3);
        for &byte in secret.as_bytes() {
            if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
                capital.push(char::from(byte));
                small.push(char::from(byte));
            } else if byte == b' ' {
                capital.push_str(blank);
                small.push_str(blank);
            } else {
                capital.extend(["%", &hex::encode_upper([byte])]);
                small.extend(["%", &hex::encode([byte])]);
            }
        }
        [capital, small]
    })
}

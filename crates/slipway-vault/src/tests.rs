//! The promises of sealing and hashing, through the public face.

use std::{fs, os::unix::fs::PermissionsExt as _};

use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};

use crate::{KeyError, KeyRing, Place, Sealed, TokenHash, Vault, VaultError, load, load_or_create, rotate};

fn vault() -> Vault {
    Vault::new(KeyRing::generate())
}

fn place() -> Place {
    Place::new("credentials", "token", 7)
}

#[test]
fn a_sealed_value_opens_only_where_it_was_sealed() {
    let vault = vault();
    let sealed = vault.seal(&place(), &"canary".into());
    assert_eq!(vault.open(&place(), &sealed).unwrap().expose_secret(), "canary");
    for elsewhere in [
        Place::new("credentials", "token", 8),
        Place::new("credentials", "refresh_token", 7),
        Place::new("webhooks", "token", 7),
    ] {
        let error = vault.open(&elsewhere, &sealed).unwrap_err();
        assert_eq!(
            error,
            VaultError::Altered {
                place: elsewhere.to_string()
            }
        );
        assert_eq!(vault.rewrap(&elsewhere, &sealed).unwrap_err().kind(), "altered");
    }
}

#[test]
fn sealing_twice_gives_two_texts() {
    let vault = vault();
    let seal = || vault.seal(&place(), &"same".into()).to_string();
    assert_ne!(seal(), seal());
}

#[test]
fn rewrapping_moves_to_the_current_key_and_keeps_the_value() {
    let old = KeyRing::generate();
    let sealed = Vault::new(old.clone()).seal(&place(), &"canary".into());
    let both = Vault::new(old.clone().with_new_key());
    assert!(both.is_outdated(&sealed));

    let rewrapped = both.rewrap(&place(), &sealed).unwrap();

    assert!(!both.is_outdated(&rewrapped));
    assert_eq!(both.open(&place(), &rewrapped).unwrap().expose_secret(), "canary");
    let error = Vault::new(old).open(&place(), &rewrapped).unwrap_err();
    assert_eq!(
        error,
        VaultError::UnknownKey {
            key: both.keys().current().clone()
        }
    );
}

#[test]
fn parts_of_two_values_cannot_be_put_together() {
    let vault = vault();
    let (a, b) = (
        vault.seal(&place(), &"a".into()),
        vault.seal(&place(), &"b".into()),
    );
    let mixed: Sealed = {
        let (a, b) = (a.to_string(), b.to_string());
        let (head, _) = a.rsplit_once('.').unwrap();
        let (_, tail) = b.rsplit_once('.').unwrap();
        format!("{head}.{tail}").parse().unwrap()
    };
    assert_eq!(vault.open(&place(), &mixed).unwrap_err().kind(), "altered");
}

#[test]
fn nothing_shows_a_secret_by_debug_or_in_errors() {
    let keys = KeyRing::generate();
    let line = keys.to_text();
    let key = line.expose_secret().trim().rsplit(':').next().unwrap().to_owned();
    let vault = Vault::new(keys);
    let sealed = vault.seal(&place(), &"canary".into());
    let (token, hash) = TokenHash::generate("slw_pat");
    let bad = KeyRing::from_text(&format!("slw-key-v1:A:{key}").into()).unwrap_err();
    let shown = format!("{vault:?} {sealed:?} {token:?} {hash:?} {bad} {bad:?}");
    for secret in ["canary", &key, token.expose_secret(), hash.as_str()] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn keys_survive_their_text_and_the_last_is_current() {
    let ring = KeyRing::generate().with_new_key();
    let again = KeyRing::from_text(&ring.to_text()).unwrap();
    assert_eq!(again.current(), ring.current());
    assert!(again.ids().eq(ring.ids()));
    let sealed = Vault::new(ring).seal(&place(), &"x".into());
    assert!(Vault::new(again).open(&place(), &sealed).is_ok());
}

#[test]
fn keys_may_be_given_on_one_line() {
    let (a, b) = (KeyRing::generate(), KeyRing::generate());
    let line = |ring: &KeyRing| ring.to_text().expose_secret().trim().to_owned();
    let ring = KeyRing::from_text(&format!("{}, {}", line(&a), line(&b)).into()).unwrap();
    assert_eq!(ring.current(), b.current());
    assert_eq!(ring.ids().count(), 2);
}

#[test]
fn wrong_keys_are_refused_with_their_line() {
    let good = KeyRing::generate().to_text();
    let good = good.expose_secret();
    let refused = |text: String| KeyRing::from_text(&text.into()).unwrap_err();
    assert!(matches!(refused("# only this\n\n".to_owned()), KeyError::NoKey));
    assert!(matches!(
        refused(format!("#\n{good}slw-key-v1:k:c2hvcnQ")),
        KeyError::BadLine { line: 3 }
    ));
    assert!(matches!(
        refused(format!("{good}{good}")),
        KeyError::Twice { line: 2, .. }
    ));
    assert!(matches!(
        refused("password".to_owned()),
        KeyError::BadLine { line: 1 }
    ));
}

#[test]
fn the_first_start_makes_a_key_file_that_only_its_owner_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");

    let made = load_or_create(&path).unwrap();

    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(load_or_create(&path).unwrap().current(), made.current());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no draft is left behind"
    );
}

#[test]
fn processes_that_start_at_once_agree_on_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let currents: Vec<_> = std::thread::scope(|scope| {
        let start = || load_or_create(&path).unwrap().current().clone();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        currents.iter().all(|current| *current == currents[0]),
        "{currents:?}"
    );
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    load_or_create(&path).unwrap();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode: found, .. } if found == mode));
        assert!(
            error
                .to_string()
                .contains(&format!("chmod 600 {}", path.display()))
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(load(&path).is_ok());
}

#[test]
fn rotation_keeps_the_old_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let first = load_or_create(&path).unwrap();
    let sealed = Vault::new(first.clone()).seal(&place(), &"canary".into());

    let rotated = rotate(&path).unwrap();

    assert_ne!(rotated.current(), first.current());
    let reloaded = load(&path).unwrap();
    assert_eq!(reloaded.current(), rotated.current());
    assert!(Vault::new(reloaded).open(&place(), &sealed).is_ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_huge_or_missing_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    assert!(matches!(load(&path), Err(KeyError::Io { doing: "read", .. })));
    load_or_create(&path).unwrap();
    fs::write(&path, "#".repeat(100_000)).unwrap();
    assert!(matches!(load(&path), Err(KeyError::TooLarge { .. })));
}

#[test]
fn a_token_is_known_by_its_hash() {
    let (token, hash) = TokenHash::generate("slw_pat");
    let text = token.expose_secret();
    assert!(text.starts_with("slw_pat_") && text.len() == "slw_pat_".len() + 64);
    assert!(hash.verify(&token));
    assert!(!hash.verify(&SecretString::from(format!("{text}0"))));
    assert_eq!(TokenHash::of(text), hash);
    assert_eq!(hash.as_str().parse::<TokenHash>().unwrap(), hash);
    assert!("A".repeat(64).parse::<TokenHash>().is_err());
    assert_ne!(TokenHash::generate("slw_pat").1, hash);
    // FIPS 180-4, the example "abc".
    assert_eq!(
        TokenHash::of("abc").as_str(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

proptest! {
    #[test]
    fn what_was_sealed_comes_back(secret in "(?s).{0,300}", id in "\\PC{0,20}") {
        let vault = vault();
        let place = Place::new("t", "c", id);
        let text = vault.seal(&place, &secret.as_str().into()).to_string();
        let sealed: Sealed = text.parse().unwrap();
        prop_assert_eq!(sealed.to_string(), text);
        let opened = vault.open(&place, &sealed).unwrap();
        prop_assert_eq!(opened.expose_secret(), secret);
    }

    #[test]
    fn a_changed_or_cut_text_never_opens(secret in ".{0,40}", at in any::<prop::sample::Index>(), to in "[!-~]", cut in any::<bool>()) {
        let vault = vault();
        let text = vault.seal(&place(), &secret.as_str().into()).to_string();
        let at = at.index(text.len());
        let mut changed = text.clone();
        if cut { changed.truncate(at) } else { changed.replace_range(at..=at, &to) }
        prop_assume!(changed != text);
        if let Ok(sealed) = changed.parse::<Sealed>() {
            prop_assert!(vault.open(&place(), &sealed).is_err());
        }
    }

    #[test]
    fn any_bit_of_a_value_counts(bit in any::<prop::sample::Index>()) {
        let vault = vault();
        let mut sealed = vault.seal(&place(), &"canary".into());
        let (wrapped, value) = (sealed.wrapped.len(), sealed.value.len());
        let bit = bit.index((wrapped + value) * 8);
        let byte = sealed.wrapped.iter_mut().chain(&mut sealed.value).nth(bit / 8).unwrap();
        *byte ^= 1 << (bit % 8);
        prop_assert_eq!(vault.open(&place(), &sealed).unwrap_err().kind(), "altered");
    }

    #[test]
    fn no_text_makes_reading_panic(text in "(?s).{0,200}", parts in prop::collection::vec("[A-Za-z0-9_=-]{0,120}", 0..6)) {
        for text in [text, format!("v1.{}", parts.join("."))] {
            if let Ok(sealed) = text.parse::<Sealed>() {
                prop_assert_eq!(sealed.to_string(), text.as_str());
                prop_assert!(vault().open(&place(), &sealed).is_err());
            }
            let _ = KeyRing::from_text(&text.as_str().into());
            let _ = text.parse::<TokenHash>();
        }
    }
}

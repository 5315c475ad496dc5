//! Verifying against a real store.

use tempfile::TempDir;

use super::{super::issue, *};

struct Issuer {
    folder: TempDir,
    verifier: Verifier,
}

impl Issuer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let verifier = Verifier::new(Store::open(folder.path()).unwrap()).unwrap();
        Self { folder, verifier }
    }

    async fn issue(&self, expires_at: Option<Timestamp>) -> String {
        let made = issue(self.folder.path(), "laptop".into(), at(0), expires_at).await.unwrap();
        made.token
    }

    async fn verify(&self, text: &str, now: Timestamp) -> Option<String> {
        self.verifier.verify(text, now).await.unwrap()
    }

    async fn last_used(&self, token: &str) -> Option<Timestamp> {
        let prefix = token[..12].to_owned();
        self.verifier.store.find_token(prefix).await.unwrap().unwrap().last_used
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[tokio::test]
async fn a_token_is_valid_until_it_expires_remembered_or_not() {
    let issuer = Issuer::new();
    let token = issuer.issue(Some(at(100))).await;
    let prefix = Some(token[..12].to_owned());
    assert_eq!(issuer.verify(&token, at(1)).await, prefix);
    assert_eq!(issuer.verify(&token, at(99)).await, prefix, "from memory");
    assert_eq!(issuer.verify(&token, at(100)).await, None, "from memory");

    let late = Verifier::new(issuer.verifier.store.clone()).unwrap();
    assert_eq!(late.verify(&token, at(100)).await.unwrap(), None, "from the store");
}

#[tokio::test]
async fn one_wrong_character_is_invalid_before_and_after_the_right_one() {
    let issuer = Issuer::new();
    let token = issuer.issue(None).await;
    let last = if token.ends_with('x') { "y" } else { "x" };
    let wrong = format!("{}{last}", &token[..54]);
    assert_eq!(issuer.verify(&wrong, at(1)).await, None);
    assert!(issuer.verify(&token, at(1)).await.is_some());
    assert_eq!(issuer.verify(&wrong, at(1)).await, None);
}

#[tokio::test]
async fn attempts_leave_nothing_in_memory() {
    let issuer = Issuer::new();
    for _ in 0..100 {
        let unknown = token::generate().unwrap();
        assert_eq!(issuer.verify(&unknown, at(1)).await, None);
    }
    assert!(issuer.verifier.verified().is_empty());
}

#[tokio::test]
async fn use_is_noted_about_once_a_minute() {
    let issuer = Issuer::new();
    let token = issuer.issue(None).await;
    assert_eq!(issuer.last_used(&token).await, None);
    for (now, noted) in [(1, 1), (60, 1), (61, 61), (62, 61)] {
        assert!(issuer.verify(&token, at(now)).await.is_some());
        assert_eq!(issuer.last_used(&token).await, Some(at(noted)), "at {now}");
    }
}

#[tokio::test]
async fn the_token_file_is_private_and_always_the_newest() {
    use std::{fs, os::unix::fs::PermissionsExt};

    let issuer = Issuer::new();
    let (old, new) = (issuer.issue(None).await, issuer.issue(None).await);
    let path = issuer.folder.path().join(issue::TOKEN_FILE);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{new}\n"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(issuer.verify(&old, at(1)).await.is_some(), "an older token stays valid");
}

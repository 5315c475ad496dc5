//! Who gets in.

use axum::body::Body;
use http::{HeaderValue, Method};
use ten_store::Store;

use super::*;

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

#[test]
fn one_bearer_field_is_a_token() {
    let of = |fields| bearer(&headers(fields)).map(str::to_owned);
    assert_eq!(of(&[("authorization", "Bearer ten_x")]), Some("ten_x".to_owned()));
    assert_eq!(of(&[("authorization", "bearer  ten_x ")]), Some("ten_x".to_owned()));
    assert_eq!(of(&[("authorization", "Basic dGVuOng=")]), None);
    assert_eq!(of(&[("authorization", "Bearer")]), None);
    assert_eq!(of(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]), None);
    assert_eq!(of(&[]), None);
}

#[tokio::test]
async fn root_and_ten_itself_operate_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let verifier = Verifier::new(Store::open(folder.path()).unwrap()).unwrap();
    let auth = Auth::new(998, verifier);
    let of = async |peer| auth.caller(peer, &HeaderMap::new()).await;
    for uid in [0, 998] {
        assert_eq!(of(Some(Peer { uid })).await, Ok(Caller::Operator { uid }));
    }
    let refused = of(Some(Peer { uid: 1000 })).await.unwrap_err();
    assert_eq!(refused.kind, ProblemType::Forbidden);
    assert_eq!(refused.detail, "uid 1000 may not operate this server, which runs as uid 998");
    assert_eq!(of(None).await.unwrap_err(), unauthenticated());
}

#[tokio::test]
async fn every_bad_token_gets_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let made = async |expires| issue(folder.path(), "t".into(), now, expires).await.unwrap().token;
    let (good, expired) = (made(None).await, made(Some(now)).await);
    let unknown = token::generate().unwrap();
    let wrong = format!("{}{}", &good[..12], &expired[12..]);

    let verifier =
        Verifier::new(Store::open(&crate::state::folder(folder.path())).unwrap()).unwrap();
    let auth = Auth::new(998, verifier);
    let of = async |token: &str| {
        let mut fields = HeaderMap::new();
        fields.insert("authorization", format!("Bearer {token}").parse().unwrap());
        auth.caller(None, &fields).await
    };
    assert_eq!(of(&good).await, Ok(Caller::Token { prefix: good[..12].to_owned() }));
    for bad in [expired.as_str(), &unknown, &wrong, "ten_", "x"] {
        assert_eq!(of(bad).await, Err(unauthenticated()), "{bad}");
    }
}

#[test]
fn pages_of_other_origins_change_nothing() {
    let foreign = |method: Method, fields: &[(&'static str, &'static str)]| {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.headers_mut() = headers(fields);
        request.headers_mut().insert("host", HeaderValue::from_static("ten.example.com:8080"));
        origin::is_foreign(&request)
    };
    let post = |fields| foreign(Method::POST, fields);
    assert!(!post(&[]), "not a browser");
    assert!(!post(&[("sec-fetch-site", "same-origin")]));
    assert!(!post(&[("sec-fetch-site", "none")]));
    assert!(!post(&[("origin", "http://ten.example.com:8080")]));
    assert!(!post(&[("origin", "https://Ten.Example.com:8080")]));

    assert!(post(&[("sec-fetch-site", "same-site")]), "a tenant's page");
    assert!(post(&[("sec-fetch-site", "cross-site")]));
    assert!(post(&[("origin", "http://alice.api.ten.example.com:8080")]));
    assert!(post(&[("origin", "http://ten.example.com")]), "another port");
    assert!(post(&[("origin", "null")]));
    assert!(foreign(Method::DELETE, &[("origin", "http://evil.example")]));
    assert!(!foreign(Method::GET, &[("origin", "http://evil.example")]), "reading needs a token");
}

//! The client against real sockets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use super::*;

#[test]
fn urls_of_servers() {
    let web = |secure, host: &str, port| Target::Http { secure, host: host.to_owned(), port };
    let http = |host: &str, port| web(false, host, port);
    assert_eq!("http://localhost:8080".parse(), Ok(http("localhost", 8080)));
    assert_eq!("http://ten.example.com/".parse(), Ok(http("ten.example.com", 80)));
    assert_eq!("http://[::1]:8080".parse(), Ok(http("::1", 8080)));
    assert_eq!(http("::1", 8080).to_string(), "http://[::1]:8080");
    assert_eq!("https://example.com".parse(), Ok(web(true, "example.com", 443)));
    assert_eq!("https://[::1]:8443".parse(), Ok(web(true, "::1", 8443)));
    assert_eq!(web(true, "a", 1).to_string(), "https://a:1");
    for bad in ["", "localhost:8080", "http://", "http://a/b", "http://u@a", "unix:/x"] {
        assert_eq!(bad.parse::<Target>(), Err(TargetError), "{bad:?}");
    }
}

#[test]
fn search_text_is_escaped() {
    let query = LogQuery { search: Some("a&b=c d%".to_owned()), ..LogQuery::default() };
    assert_eq!(with_query("/api/logs", &query).unwrap(), "/api/logs?search=a%26b%3Dc+d%25");
}

#[tokio::test]
async fn a_missing_socket_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(Target::Socket(folder.path().join("ten.sock")), None);
    let error = client.instances().await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
}

/// Answers one connection on a Unix socket with these bytes; returns what was asked.
async fn answered(bytes: &'static str) -> (Result<Vec<Instance>, Error>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ten.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let len = stream.read(&mut asked).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&asked[..len]).into_owned()
    };
    let client = Client::new(Target::Socket(path), Some("ten_secret".to_owned()));
    let both = async { tokio::join!(client.instances(), server) };
    tokio::time::timeout(Duration::from_secs(5), both).await.unwrap()
}

#[tokio::test]
async fn an_answer_is_read_and_the_token_sent() {
    let (list, asked) =
        answered("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"instances\":[]}").await;
    assert_eq!(list.unwrap(), []);
    assert!(asked.starts_with("GET /api/instances HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer ten_secret\r\n"), "{asked}");
}

#[tokio::test]
async fn a_problem_is_told_from_a_stranger_and_from_a_broken_line() {
    let (list, _) = answered(concat!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n",
        r#"{"type":"urn:tenement:problem:shutting-down","title":"t","status":503,"detail":"bye"}"#
    ))
    .await;
    let error = list.unwrap_err();
    assert!(matches!(&error, Error::Problem(problem) if problem.detail == "bye"), "{error:?}");
    assert!(!error.is_unreachable());

    let (list, _) = answered("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<html>").await;
    assert!(matches!(list, Err(Error::NotTenement { status: StatusCode::BAD_GATEWAY, .. })));

    let (list, _) = answered("").await;
    assert!(matches!(list, Err(Error::Broken { .. })));
}

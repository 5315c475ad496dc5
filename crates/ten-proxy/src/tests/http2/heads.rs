//! What comes before the body of an answer, or in place of it.

use super::*;

/// Hints come ahead; and who waits to be invited sends its body then.
#[tokio::test]
async fn informational_answers_come_ahead() {
    let address = instance(|mut wire| async move {
        wire.head().await;
        wire.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n").await;
        wire.until("body").await.unwrap();
        wire.write(OK).await;
    })
    .await;
    let world = World::before(vec![address]);
    world.fleet.set(Gate::Waking);
    let (mut client, _) = connect(&world).await;
    let post = Request::post("http://a.api.example.com/").header("expect", "100-continue");
    let (mut response, mut body) = send(&mut client, post.body(()).unwrap(), false).await;
    world.fleet.waiting(1).await;
    world.fleet.set(Gate::Open);
    let mut ahead = async || {
        let next = std::future::poll_fn(|cx| response.poll_informational(cx));
        soon(next).await.unwrap().unwrap()
    };
    assert_eq!(ahead().await.status(), StatusCode::CONTINUE);
    let hints = ahead().await;
    assert_eq!(
        (hints.status().as_u16(), &hints.headers()["link"]),
        (103, &"</a>".parse().unwrap())
    );
    assert_eq!(hints.headers().len(), 1);
    body.send_data("body".into(), true).unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("date"));
    assert_eq!(text(response.into_body()).await, "ok");
}

#[tokio::test]
async fn what_has_no_body_gets_none() {
    let (address, _) = answering("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n").await;
    let world = World::before(vec![address]);
    let (mut client, _) = connect(&world).await;
    let (response, _) = send(&mut client, get("http://a.api.example.com/"), true).await;
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(!response.headers().contains_key("content-length"));
    assert!(response.body().is_end_stream());
    let head = Request::head("http://example.com/x").body(()).unwrap();
    let (response, _) = send(&mut client, head, true).await;
    assert!(soon(response).await.unwrap().body().is_end_stream());
}

/// Too large a head is refused by a page of ours, as in HTTP/1.
#[tokio::test]
async fn heads_that_are_too_large_are_told_so() {
    let world = World::before(vec![Address::Unix("/nowhere".into())]);
    let (mut client, _) = connect(&world).await;
    let long = "x".repeat(1000);
    let request = Request::get("http://a.api.example.com/").header("accept", "text/html");
    let request = (0..70).fold(request, |request, n| request.header(format!("a-{n}"), &long));
    let (response, _) = send(&mut client, request.body(()).unwrap(), true).await;
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(response.headers()["x-ten-state"], "unknown");
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    assert!(response.headers().contains_key("x-request-id"));
}

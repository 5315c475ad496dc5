//! What ten answers in an instance's place: while it sleeps, while it wakes, and when it fails.

use super::*;

const NAVIGATION: &str =
    "Accept: text/html,*/*;q=0.8\r\nSec-Fetch-Mode: navigate\r\nConnection: close\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A fleet whose service is as `change` leaves it.
fn fleet(address: Address, change: impl FnOnce(&mut ServiceSpec)) -> Fleet {
    let mut fleet = Fleet::new(Protocol::Http1, vec![address], None);
    let state = Arc::get_mut(&mut fleet.0).unwrap();
    change(Arc::make_mut(&mut state.service));
    fleet
}

fn told(fleet: Fleet, pages: ErrorPages) -> World {
    World::told(fleet, ProxySettings::DEFAULT, pages, vec![])
}

fn nowhere() -> Address {
    Address::Unix("/secret/path.sock".into())
}

async fn sleeper() -> World {
    let (address, _) = answering(OK).await;
    let fleet = fleet(address, |service| {
        service.asleep = Asleep {
            health: Some("/health".into()),
            robots: Some("User-agent: *\nDisallow: /\n".into()),
            favicon: true,
            paths: [("/status".into(), 200)].into(),
        };
    });
    fleet.set(Gate::Waking);
    told(fleet, ErrorPages::default())
}

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a.api.example.com\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn what_a_sleeper_has_left_is_answered_without_a_wake() {
    let world = sleeper().await;
    for (path, status, body) in [
        ("/health", "200", ""),
        ("/health?from=monitor", "200", ""),
        ("/robots.txt", "200", "User-agent: *\nDisallow: /\n"),
        ("/favicon.ico", "204", ""),
        ("/status", "200", ""),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = world.ask(request(method, path)).await;
            assert_eq!(&answer[9..12], status, "{method} {path}");
            assert_eq!(header(&answer, "x-ten-state"), Some("asleep"));
            assert_eq!(header(&answer, "cache-control"), Some("no-store"));
            assert!(header(&answer, "x-request-id").is_some());
            let (_, got) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(got, if method == "GET" { body } else { "" }, "{method} {path}");
            if !body.is_empty() {
                let length = body.len().to_string();
                assert_eq!(header(&answer, "content-length"), Some(&*length), "{method}");
            }
        }
    }
    world.fleet.waiting(0).await;
    assert_eq!(world.fleet.given(), 0);
}

#[tokio::test]
async fn all_else_wakes_and_whoever_runs_answers_itself() {
    let world = sleeper().await;
    for (method, path) in [("POST", "/health"), ("GET", "/"), ("GET", "/health/")] {
        let mut client = world.client().await;
        client.write(request(method, path)).await;
        world.fleet.waiting(1).await;
        drop(client);
        world.fleet.waiting(0).await;
    }
    world.fleet.set(Gate::Open);
    assert!(world.ask(request("GET", "/health")).await.ends_with("ok"));
}

/// The clock stands still until nothing is left to do: what arrives after a second is certain.
#[tokio::test(start_paused = true)]
async fn a_browser_that_waits_for_a_wake_is_shown_so() {
    let (address, seen) = answering(OK).await;
    let fleet = fleet(address, |service| service.waking_page = true);
    fleet.set(Gate::Waking);
    let world = told(fleet, ErrorPages::default());
    let start = tokio::time::Instant::now();
    let page = world.ask(format!("{GET}{NAVIGATION}")).await;
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(2));
    assert!(page.starts_with("HTTP/1.1 503"), "{page}");
    for (name, value) in [
        ("x-ten-state", "waking"),
        ("retry-after", "1"),
        ("refresh", "0"),
        ("cache-control", "no-store"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(header(&page, name), Some(value), "{page}");
    }
    assert!(page.contains("<h1>Waking up</h1>") && !page.contains("<script"), "{page}");
    // It comes back, and this time there is an answer within the second.
    let mut client = world.client().await;
    client.write(format!("{GET}{NAVIGATION}")).await;
    world.fleet.waiting(1).await;
    world.fleet.set(Gate::Open);
    assert!(client.rest().await.ends_with("ok"));
    assert_eq!(seen.lock().unwrap().len(), 1, "the request that was shown the page is gone");
}

/// What fails is not waited for once more: the page that says so does not come back by itself.
#[tokio::test(start_paused = true)]
async fn a_wake_that_fails_ends_the_coming_back() {
    let fleet = fleet(nowhere(), |service| service.waking_page = true);
    fleet.set(Gate::Refused(Refusal::NotReady { retry_after: Duration::from_secs(3) }));
    let world = told(fleet, ErrorPages::default());
    let page = world.ask(format!("{GET}{NAVIGATION}")).await;
    assert!(page.contains("<h1>Not ready yet</h1>"), "{page}");
    assert_eq!(header(&page, "refresh"), None);
    assert_eq!(header(&page, "retry-after"), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn everything_but_a_navigation_waits_for_its_wake() {
    let post = "POST / HTTP/1.1\r\nHost: a.api.example.com\r\nContent-Length: 0\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a.api.example.com\r\n";
    for (waking_page, request) in [
        (false, format!("{GET}{NAVIGATION}")),
        (true, format!("{post}{NAVIGATION}")),
        (true, format!("{head}{NAVIGATION}")),
        (true, format!("{GET}{}", NAVIGATION.replace("navigate", "cors"))),
        (true, format!("{GET}{}", NAVIGATION.replace("text/html,", ""))),
        (true, format!("{GET}{}", NAVIGATION.replace("Sec-Fetch-Mode", "X"))),
    ] {
        let (address, _) = answering(OK).await;
        let fleet = fleet(address, |service| service.waking_page = waking_page);
        fleet.set(Gate::Waking);
        let world = told(fleet, ErrorPages::default());
        let mut client = world.client().await;
        client.write(&request).await;
        world.fleet.waiting(1).await;
        let page = tokio::time::timeout(Duration::from_secs(9), client.0.readable()).await;
        assert!(page.is_err(), "answered without a wake: {request}");
        world.fleet.set(Gate::Open);
        assert!(client.rest().await.starts_with("HTTP/1.1 200"), "{request}");
    }
}

#[tokio::test]
async fn a_folder_has_the_words_and_ten_the_head() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("503.html", "down {request_id}"), ("not-found.html", "nobody")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let pages = ErrorPages::load(folder.path()).unwrap();
    let world = told(fleet(nowhere(), |_| {}), pages);
    world.fleet.set(Gate::Refused(Refusal::QueueFull));
    let html = format!("{GET}Accept: text/html\r\nConnection: close\r\n\r\n");
    let answer = world.ask(&html).await;
    let id = header(&answer, "x-request-id").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\ndown {id}")), "{answer}");
    assert_eq!(header(&answer, "x-ten-state"), Some("waking"));
    assert_eq!(header(&answer, "retry-after"), Some("1"));
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    let answer = world.ask(html.replace("a.api.", "a.nope.")).await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with("\r\n\r\nnobody"), "{answer}");
    world.fleet.set(Gate::Open);
    let answer = world.ask(&html).await;
    assert!(answer.contains("<h1>Bad gateway</h1>"), "no page of theirs: {answer}");
    assert!(answer.contains(header(&answer, "x-request-id").unwrap().trim()), "{answer}");
    let answer = world.ask(html.replace("text/html", "*/*")).await;
    assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
}

#[tokio::test]
async fn a_head_has_the_length_of_the_page_and_no_page() {
    let world = told(fleet(nowhere(), |_| {}), ErrorPages::default());
    for accept in ["text/html", "application/json"] {
        let get = format!("{GET}Accept: {accept}\r\nConnection: close\r\n\r\n");
        let page = world.ask(&get).await;
        let head = world.ask(get.replace("GET /", "HEAD /")).await;
        assert!(head.starts_with("HTTP/1.1 502") && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(header(&head, "content-length"), header(&page, "content-length"));
        assert_eq!(header(&head, "content-type"), header(&page, "content-type"));
        let (_, body) = page.split_once("\r\n\r\n").unwrap();
        assert_eq!(header(&page, "content-length"), Some(&*body.len().to_string()));
    }
}

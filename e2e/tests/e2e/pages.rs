//! What ten answers itself, and what it writes down of every answer.

use std::{fs, net::SocketAddr};

use ten_testkit::{
    Ten,
    http::{Request, Response},
};

use crate::service::{PATIENCE, app};

/// What a browser says that opens an address.
fn navigation(path: &str) -> Request {
    Request::get("a.app.localhost", path)
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate")
}

fn state(ten: &Ten) -> String {
    let list = ten.cli_json(&["ps", "-a", "--json"]);
    list["instances"][0]["state"].as_str().unwrap_or("unknown").to_owned()
}

#[test]
fn a_sleeper_answers_what_it_has_left_and_sleeps_on() {
    let keys = "health = \"/health\"\nidle_timeout = 1\n[service.app.asleep]\nhealth = true\n\
                robots = \"User-agent: *\"\nfavicon = true\npaths = { \"/status\" = 204 }";
    let ten = Ten::with_config(&app("", keys)).start();
    assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
    ten.wait_until("it sleeps", PATIENCE, || state(&ten) == "sleeping");
    for (path, status, body) in [
        ("/health", 200, ""),
        ("/robots.txt", 200, "User-agent: *"),
        ("/favicon.ico", 204, ""),
        ("/status", 204, ""),
    ] {
        let answer = ten.get("a.app.localhost", path);
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{path}");
        assert_eq!(answer.header("x-ten-state"), Some("asleep"), "{path}");
    }
    assert_eq!(state(&ten), "sleeping");
    assert!(ten.processes_of("app:a").is_empty());
    assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
    let awake = ten.get("a.app.localhost", "/health");
    assert_eq!((awake.text().as_str(), awake.header("x-ten-state")), ("healthy", None));
}

#[test]
fn a_browser_sees_that_a_slow_starter_wakes_and_then_the_page_itself() {
    let ten = Ten::with_config(&app("--startup-delay-ms 2500", "waking_page = true")).start();
    let page = ten.send(&navigation("/count?a=b")).unwrap();
    assert_eq!(page.status, 503);
    assert_eq!(page.header("x-ten-state"), Some("waking"));
    assert_eq!(page.header("retry-after"), Some("1"));
    assert_eq!(page.header("refresh"), Some("0"), "to the same address");
    assert!(page.text().contains("Waking up"), "{}", page.text());
    assert_eq!(state(&ten), "starting", "it goes on though nobody waits");
    // What a browser does with such a page.
    let mut last = page;
    ten.wait_until("the page itself comes", PATIENCE, || {
        last = ten.send(&navigation("/count?a=b")).unwrap();
        last.header("refresh").is_none()
    });
    assert_eq!((last.status, last.text().as_str()), (200, "1"));
}

#[test]
fn a_browser_that_waits_in_vain_is_told_so_and_comes_back_no_more() {
    let config = "[settings]\nbackoff_base_ms = 60000\n".to_owned()
        + &app("--listen wrong", "waking_page = true\nstartup_timeout = 2");
    let ten = Ten::with_config(&config).start();
    let mut last = ten.send(&navigation("/")).unwrap();
    assert_eq!(last.header("refresh"), Some("0"));
    ten.wait_until("it is given up", PATIENCE, || {
        last = ten.send(&navigation("/")).unwrap();
        last.header("refresh").is_none()
    });
    assert_eq!(last.status, 503);
    assert!(last.text().contains("Not ready yet"), "{}", last.text());
}

#[test]
fn a_folder_has_other_words_for_errors() {
    let config = "[settings.proxy]\nerror_pages = \"pages\"\n".to_owned() + &app("", "");
    let mut ten = Ten::with_config(&config).prepare();
    let folder = ten.config_path().with_file_name("pages");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("404.html"), "<h1>Nobody here</h1> {request_id}").unwrap();
    ten.start();
    let html = |host| ten.send(&Request::get(host, "/").header("accept", "text/html")).unwrap();
    let page = html("nope.localhost");
    let id = page.header("x-request-id").unwrap();
    assert_eq!(page.text(), format!("<h1>Nobody here</h1> {id}"));
    assert_eq!((page.status, page.header("x-ten-state")), (404, Some("unknown")));
    let problem = ten.get("nope.localhost", "/");
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    ten.stop();
    fs::write(folder.join("505.html"), "").unwrap();
    let refused = ten.cli(&["serve", "--port", "0"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for fact in ["505.html", "named after no page", "error_pages"] {
        assert!(refused.stderr.contains(fact), "{fact}: {}", refused.stderr);
    }
}

/// The lines that the server has written for requests of this path, once there are `count`.
fn lines(ten: &Ten, path: &str, count: usize) -> Vec<String> {
    let found = || -> Vec<String> {
        ten.server_lines().into_iter().filter(|line| line.contains(path)).collect()
    };
    ten.wait_until("the lines are written", PATIENCE, || found().len() >= count);
    found()
}

fn ask(ten: &Ten, path: &str) -> Response {
    let request = Request::get("a.app.localhost", path).header("user-agent", "a \"b\"\\");
    ten.send(&request).unwrap()
}

#[test]
fn each_request_is_a_line_with_its_wake() {
    for format in ["text", "json"] {
        let config =
            format!("[settings]\naccess_log = \"{format}\"\n") + &app("--startup-delay-ms 100", "");
        let ten = Ten::with_config(&config).start();
        let id = ask(&ten, "/?first").header("x-request-id").map(ToOwned::to_owned);
        assert_eq!(id, None, "the tenant's own answer");
        ask(&ten, "/?second");
        let (first, second) = (lines(&ten, "/?first", 1), lines(&ten, "/?second", 1));
        assert_eq!((first.len(), second.len()), (1, 1));
        let (wakes, client) = match format {
            "json" => {
                let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
                let (first, second) = (parse(&first[0]), parse(&second[0]));
                assert_eq!((&first["status"], &first["instance"]), (&200.into(), &"app:a".into()));
                assert_eq!(first["user_agent"], "a \"b\"\\");
                let wake = |line: &serde_json::Value| line["wake_ms"].as_f64().unwrap();
                ([wake(&first), wake(&second)], first["peer"].as_str().unwrap().to_owned())
            }
            _ => {
                assert!(first[0].contains(
                    "\"GET /?first HTTP/1.1\" 200 5 \"-\" \"a \\x22b\\x22\\x5C\" app:a "
                ));
                // From behind: the request's id, the whole, the wake.
                let wake = |line: &str| line.rsplit(' ').nth(2).unwrap().parse::<f64>().unwrap();
                let client = first[0].split(' ').next().unwrap().to_owned();
                ([wake(&first[0]), wake(&second[0])], client)
            }
        };
        assert!(wakes[0] >= 100.0 && wakes[1] == 0.0, "{format}: {wakes:?}");
        assert_eq!(client, SocketAddr::from(([127, 0, 0, 1], 0)).ip().to_string());
    }
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let config = "[settings]\naccess_log = \"text\"\n".to_owned() + &app("", "");
    let mut ten = Ten::with_config(&config).start();
    ask(&ten, "/?last");
    ten.stop();
    assert_eq!(lines(&ten, "/?last", 1).len(), 1);
}

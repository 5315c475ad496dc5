//! The story: each line is one thing that happened just now. A claim that does not hold ends it.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use ten_testkit::{Request, http, process, wait_until};

use super::{IDLE_SECONDS, Interrupted, bare, server::Server};
use crate::failure::Failure;

/// Who appears, and what each of them writes.
const ALICE: Customer = Customer { name: "alice", note: "buy milk" };
const BOB: Customer = Customer { name: "bob", note: "call mum" };

/// How much longer than `idle_timeout` falling asleep may take: the app's own end included.
const SLEEP_DEADLINE: Duration = Duration::from_secs(IDLE_SECONDS + 15);

const BOLD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const NUMBER: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

struct Customer {
    name: &'static str,
    note: &'static str,
}

/// Tells it, and checks it.
pub(crate) fn tell(server: &Server, interrupted: &Interrupted) -> Result<(), Failure> {
    anstream::println!(
        "\n{BOLD}notes{BOLD:#}  one plain Python app, one SQLite file, made for one person\n\
         {BOLD}ten{BOLD:#}    gives every customer a copy of it: awake when asked, asleep when not\n"
    );
    let started = format!("on {}", server.address());
    line("ten serve", "listens", server.started_in(), &started);
    let awake = running(server)?;
    check(awake.is_empty(), "somebody runs before the first request", &awake)?;
    chapter("nobody has asked yet: no copy runs");

    wake(server, &ALICE, "[]")?;
    write(server, &ALICE)?;
    wake(server, &BOB, "[]")?;
    write(server, &BOB)?;
    chapter("each sees only their own");
    for customer in [&ALICE, &BOB] {
        let (response, took) = get(server, customer)?;
        expect_notes(customer, &response, &notes(customer))?;
        line(customer.name, "reads", took, &response);
    }
    separate_processes(server)?;
    chapter("$ ten ps");
    for row in server.ten(&["ps"])?.lines() {
        anstream::println!("  {row}");
    }

    chapter(&format!("after {IDLE_SECONDS} s without requests"));
    fall_asleep(server, interrupted)?;
    chapter("the next request wakes each, with what they wrote");
    for customer in [&ALICE, &BOB] {
        wake(server, customer, &notes(customer))?;
    }
    chapter("the same app without ten, from start to first answer");
    line("python3", "answers", bare::first_answer()?, "the part of a wake that is not ten's");
    anstream::println!(
        "\n  {FAINT}Times are what the client waited, from connecting to the last byte. This ten \
         is a debug build.{FAINT:#}"
    );
    Ok(())
}

/// What the reader can do now.
pub(crate) fn invite(server: &Server) {
    let port = server.address().port();
    anstream::println!(
        "\n{BOLD}Try it{BOLD:#}\n  \
         http://alice.notes.localhost:{port}/   in a browser\n  \
         curl -d 'buy bread' http://carol.notes.localhost:{port}/\n  \
         {FAINT}                                 any other name is another customer{FAINT:#}\n  \
         target/debug/ten --data-dir {} ps -a\n  \
         Ctrl-C                           ends it and leaves nothing behind",
        server.data_dir().display()
    );
}

/// A request for a customer whose copy does not run.
fn wake(server: &Server, customer: &Customer, expected: &str) -> Result<(), Failure> {
    let (response, took) = get(server, customer)?;
    expect_notes(customer, &response, expected)?;
    line(customer.name, "wakes", took, &response);
    Ok(())
}

fn write(server: &Server, customer: &Customer) -> Result<(), Failure> {
    let request = Request::post(&host(server, customer), "/", customer.note);
    let (response, took) = send(server, &request, 303)?;
    check(response == "added", "the note was not added", &response)?;
    line(customer.name, "writes", took, &format!("{:?}", customer.note));
    Ok(())
}

/// Both run, as two processes.
fn separate_processes(server: &Server) -> Result<(), Failure> {
    let awake = running(server)?;
    let pids: Vec<_> = awake.iter().filter_map(|instance| instance["pid"].as_u64()).collect();
    let two = matches!(pids[..], [one, other] if one != other);
    check(two, "these are not two running processes", &awake)?;
    let found = [&ALICE, &BOB].iter().all(|customer| !processes(server, customer).is_empty());
    check(found, "a running customer has no process", &awake)
}

/// Waits until both sleep, and says when each did.
fn fall_asleep(server: &Server, interrupted: &Interrupted) -> Result<(), Failure> {
    let began = Instant::now();
    for customer in [&ALICE, &BOB] {
        let mut seen = Ok(String::new());
        wait_until(SLEEP_DEADLINE, || {
            seen = state(server, customer);
            interrupted.is_set() || !matches!(&seen, Ok(state) if state != "sleeping")
        });
        let state = seen?;
        if interrupted.is_set() {
            return Err(Failure::new("interrupted"));
        }
        check(state == "sleeping", &format!("{} does not fall asleep", customer.name), &state)?;
        let took = began.elapsed();
        let left = processes(server, customer);
        check(left.is_empty(), "it sleeps, but processes are left", &left)?;
        line(customer.name, "sleeps", took, "no process is left of it");
    }
    Ok(())
}

/// Whatever runs for a customer, found by the environment that every instance gets.
fn processes(server: &Server, customer: &Customer) -> Vec<u32> {
    let name = format!("TENEMENT_INSTANCE=notes:{}", customer.name);
    let data = format!("DATA_DIR={}/notes/{}", server.data_dir().display(), customer.name);
    process::with_env(&[&name, &data]).iter().map(|process| process.pid).collect()
}

/// The notes of a customer who has written one.
fn notes(customer: &Customer) -> String {
    format!("[{:?}]", customer.note)
}

fn host(server: &Server, customer: &Customer) -> String {
    format!("{}.notes.localhost:{}", customer.name, server.address().port())
}

fn get(server: &Server, customer: &Customer) -> Result<(String, Duration), Failure> {
    send(server, &Request::get(&host(server, customer), "/"), 200)
}

/// The body, and how long the client waited for it.
fn send(server: &Server, request: &Request, status: u16) -> Result<(String, Duration), Failure> {
    let began = Instant::now();
    let response = http::send(server.address(), request);
    let took = began.elapsed();
    let response = response.map_err(Failure::io(format!("get an answer to {request}")))?;
    let text = response.text().trim().to_owned();
    let right = response.status == status;
    check(right, &format!("{request} was answered with {}", response.status), &text)?;
    Ok((text, took))
}

fn expect_notes(customer: &Customer, got: &str, expected: &str) -> Result<(), Failure> {
    check(got == expected, &format!("{} should see {expected}, but sees", customer.name), &got)
}

/// What `ten ps` says about all that it knows.
fn instances(server: &Server, args: &[&str]) -> Result<Vec<Value>, Failure> {
    let text = server.ten(args)?;
    let list: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("`ten ps --json` printed no JSON: {error}")))?;
    Ok(list["instances"].as_array().cloned().unwrap_or_default())
}

fn running(server: &Server) -> Result<Vec<Value>, Failure> {
    instances(server, &["ps", "--json"])
}

fn state(server: &Server, customer: &Customer) -> Result<String, Failure> {
    let all = instances(server, &["ps", "--json", "--all"])?;
    let own = all.iter().find(|instance| instance["id"] == customer.name);
    let state = own.and_then(|instance| instance["state"].as_str());
    Ok(state.unwrap_or("unknown").to_owned())
}

fn check(holds: bool, claim: &str, seen: &impl std::fmt::Debug) -> Result<(), Failure> {
    match holds {
        true => Ok(()),
        false => Err(Failure::new(format!("{claim}: {seen:?}"))),
    }
}

fn chapter(title: &str) {
    anstream::println!("\n  {FAINT}{title}{FAINT:#}");
}

fn line(who: &str, does: &str, took: Duration, what: &str) {
    let took = match took.as_millis() {
        0..1_000 => format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        _ => format!("{:.2} s", took.as_secs_f64()),
    };
    anstream::println!("  {BOLD}{who:<9}{BOLD:#} {does:<8} {NUMBER}{took:>10}{NUMBER:#}   {what}");
}

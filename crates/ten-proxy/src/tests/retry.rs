//! Instances that die, lie or are gone.

use tokio::net::TcpSocket;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

/// An address at which nobody listens, nor will while the socket lives.
fn nobody() -> (Address, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (Address::Tcp(socket.local_addr().unwrap()), socket)
}

#[tokio::test]
async fn a_closed_idle_connection_is_replaced() {
    let address = instance(|mut wire| async move {
        // Closes after each answer without having said so.
        wire.request().await;
        wire.write(OK).await;
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    for method in ["GET", "GET", "GET"] {
        client.write(GET.replace("GET", method) + "\r\n").await;
        assert!(client.request().await.unwrap().ends_with("ok"));
    }
}

/// It is closed when the request is on its way already, and nothing has told of it.
#[tokio::test]
async fn what_a_closed_connection_did_not_take_of_a_body_is_sent_again() {
    let post = GET.replace("GET", "POST");
    for (body, want) in [
        ("Content-Length: 5\r\n\r\nwhole", "\r\n\r\nwhole"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", "5\r\nwhole\r\n0\r\n\r\n"),
    ] {
        let (keep, mut kept) = tokio::sync::mpsc::unbounded_channel();
        let (seen, bodies) = watch::channel(Vec::new());
        let address = instance(move |mut wire| {
            let (keep, seen) = (keep.clone(), seen.clone());
            async move {
                let request = wire.request().await.unwrap();
                seen.send_modify(|all| all.push(request));
                wire.write(OK).await;
                keep.send(wire).unwrap();
            }
        })
        .await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        client.write(format!("{GET}\r\n")).await;
        client.until("ok").await.unwrap();
        let mut idle = kept.recv().await.unwrap();
        world.fleet.in_use(0).await;
        world.fleet.set(Gate::Waking);
        client.write(format!("{post}{body}")).await;
        world.fleet.waiting(1).await;
        world.fleet.set(Gate::Open);
        // What it says meanwhile is no answer to what it was not asked.
        idle.write("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nlate").await;
        // With a reset, so that the first write to it fails.
        rustix::net::sockopt::set_socket_linger(&idle.0, Some(Duration::ZERO)).unwrap();
        drop(idle);
        assert!(client.request().await.unwrap().ends_with("ok"));
        let second = bodies.borrow()[1].clone();
        assert!(second.ends_with(want), "{second}");
    }
}

/// More than a task may look at before it has to let others go first.
#[tokio::test]
async fn many_closed_idle_connections_are_replaced() {
    const MANY: usize = 200;
    let (phase, closed) = (watch::Sender::new(0), watch::Sender::new(0));
    let (phases, count) = (phase.clone(), closed.clone());
    let address = instance(move |mut wire| {
        let (mut phase, closed) = (phases.subscribe(), count.clone());
        async move {
            wire.request().await.unwrap();
            phase.wait_for(|phase| *phase > 0).await.unwrap();
            wire.write(OK).await;
            phase.wait_for(|phase| *phase > 1).await.unwrap();
            drop(wire);
            closed.send_modify(|n| *n += 1);
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut clients = Vec::new();
    for _ in 0..MANY {
        let mut client = world.client().await;
        client.write(format!("{GET}\r\n")).await;
        clients.push(client);
    }
    world.fleet.in_use(MANY).await;
    phase.send_replace(1);
    for client in &mut clients {
        client.until("ok").await.unwrap();
    }
    world.fleet.in_use(0).await;
    assert_eq!(world.fleet.pooled(), MANY);
    phase.send_replace(2);
    soon(closed.subscribe().wait_for(|n| *n == MANY)).await.unwrap();
    let post = GET.replace("GET", "POST");
    let answer = world.ask(format!("{post}Connection: close\r\nContent-Length: 2\r\n\r\nhi")).await;
    assert!(answer.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn a_dead_process_leads_to_its_successor() {
    let (address, seen) = answering(OK).await;
    let (nobody, _socket) = nobody();
    let world = World::before(vec![nobody, Address::Unix("/no/such.sock".into()), address]);
    let post = GET.replace("GET", "POST");
    let answer = world.ask(format!("{post}Connection: close\r\nContent-Length: 2\r\n\r\nhi")).await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(world.fleet.given(), 3);
    assert_eq!(world.fleet.unreachable(), 2, "both were reported");
    assert!(seen.lock().unwrap()[0].ends_with("hi"), "the unsent body is whole");
}

#[tokio::test]
async fn asking_again_has_an_end() {
    let (nobody, _socket) = nobody();
    let world = World::before(vec![nobody]);
    let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
    assert_eq!(status(&answer), "502");
    assert_eq!(world.fleet.given(), 3);
    world.fleet.in_use(0).await;
}

/// An instance that breaks off each connection once it has read a request, and how often.
async fn breaking() -> (Address, watch::Receiver<usize>) {
    let count = watch::Sender::new(0);
    let counted = count.subscribe();
    let address = instance(move |mut wire| {
        let count = count.clone();
        async move {
            if wire.request().await.is_some() {
                count.send_modify(|n| *n += 1);
            }
        }
    })
    .await;
    (address, counted)
}

#[tokio::test]
async fn a_process_that_breaks_two_connections_leads_to_its_successor() {
    let (dying, count) = breaking().await;
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![dying.clone(), dying, address]);
    let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!((*count.borrow(), seen.lock().unwrap().len()), (2, 1));
    assert_eq!(world.fleet.unreachable(), 1, "after the second time");
}

#[tokio::test]
async fn a_request_breaks_two_processes_at_most() {
    for twice in [false, true] {
        let (first, first_count) = breaking().await;
        let (second, second_count) = breaking().await;
        let (third, seen) = answering(OK).await;
        let mut processes = vec![first, second, third];
        if twice {
            processes.insert(0, processes[0].clone());
        }
        let world = World::before(processes);
        let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), "502");
        assert_eq!(*first_count.borrow(), 1 + usize::from(twice));
        assert_eq!(*second_count.borrow(), 1);
        assert!(seen.lock().unwrap().is_empty());
        world.fleet.in_use(0).await;
    }
}

#[tokio::test]
async fn what_is_not_idempotent_or_has_a_body_is_never_sent_twice() {
    for request in [
        "POST / HTTP/1.1\r\nContent-Length: 0",
        "POST / HTTP/1.1\r\nContent-Length: 2",
        "PATCH / HTTP/1.1\r\nContent-Length: 0",
        "PUT / HTTP/1.1\r\nContent-Length: 2",
        "GET / HTTP/1.1\r\nContent-Length: 2",
    ] {
        let (dying, count) = breaking().await;
        let (address, seen) = answering(OK).await;
        let world = World::before(vec![dying, address]);
        let body = if request.ends_with('2') { "hi" } else { "" };
        let answer = world
            .ask(format!("{request}\r\nHost: a.api.example.com\r\nConnection: close\r\n\r\n{body}"))
            .await;
        assert_eq!(status(&answer), "502", "{request}");
        assert_eq!(*count.borrow(), 1, "{request}");
        assert!(seen.lock().unwrap().is_empty(), "{request}");
    }
}

/// What may have been sent is sent once more if that is harmless, and never else.
#[tokio::test]
async fn a_death_under_a_request() {
    for (request, times) in [
        (format!("{GET}Connection: close\r\n\r\n"), 2),
        (GET.replace("GET", "DELETE") + "Connection: close\r\n\r\n", 2),
        (GET.replace("GET", "POST") + "Connection: close\r\nContent-Length: 0\r\n\r\n", 1),
        (GET.replace("GET", "PUT") + "Connection: close\r\nContent-Length: 2\r\n\r\nhi", 1),
    ] {
        let count = watch::Sender::new(0);
        let counted = count.clone();
        let address = instance(move |mut wire| {
            let counted = counted.clone();
            async move {
                wire.request().await;
                counted.send_modify(|n| *n += 1);
            }
        })
        .await;
        let world = World::before(vec![address]);
        assert_eq!(status(&world.ask(&request).await), "502", "{request}");
        assert_eq!(*count.borrow(), times, "{request}");
    }
}

#[tokio::test]
async fn nonsense_is_a_502_and_its_connection_is_not_used_again() {
    for nonsense in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
    ] {
        let (address, _) = answering(nonsense).await;
        let world = World::before(vec![address]);
        let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), "502", "{nonsense}");
        assert_eq!(world.fleet.pooled(), 0, "{nonsense}");
        world.fleet.in_use(0).await;
    }
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(10 << 20)).leak();
    let (address, _) = answering(huge).await;
    let world = World::before(vec![address]);
    assert_eq!(status(&world.ask(format!("{GET}Connection: close\r\n\r\n")).await), "502");
}

#[tokio::test]
async fn a_body_cut_short_is_cut_short_for_the_client_too() {
    for (answer, cut) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "\r\n\r\nhalf"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "4\r\nhalf\r\n"),
    ] {
        let address = instance(move |mut wire| async move {
            wire.request().await;
            wire.write(answer).await;
        })
        .await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        client.write(format!("{GET}\r\n")).await;
        let got = client.rest().await;
        assert!(got.ends_with(cut), "{got:?}");
        assert_eq!(world.fleet.pooled(), 0);
        world.fleet.in_use(0).await;
    }
}

/// Bytes after the end of an answer would be the next client's answer.
#[tokio::test]
async fn a_connection_with_a_surplus_is_not_used_again() {
    let (address, _) = answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    for _ in 0..3 {
        client.write(format!("{GET}\r\n")).await;
        assert!(client.request().await.unwrap().ends_with("\r\n\r\nok"));
    }
}

#[tokio::test]
async fn informational_answers_are_not_the_answer() {
    for (count, status) in [(1, "200"), (100, "200"), (10_000, "502")] {
        let flood = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(count) + OK;
        let (address, _) = answering(flood.leak()).await;
        let world = World::before(vec![address]);
        let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
        let hints = answer.matches("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").count();
        assert!(hints == count || status == "502" && hints <= 256, "{hints}");
        assert!(answer.contains(&format!("\r\n\r\nHTTP/1.1 {status} ")), "{answer}");
        assert_eq!(world.fleet.pooled(), usize::from(status == "200"));
    }
}

/// They wait for a client that takes nothing, so they are bounded.
#[tokio::test]
async fn few_bytes_of_informational_answers_are_passed_on() {
    let long = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(6_000));
    let (address, _) = answering((long.repeat(5) + OK).leak()).await;
    let world = World::before(vec![address]);
    let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
    assert_eq!(answer.matches(&long).count(), 2);
    assert!(answer.contains("\r\n\r\nHTTP/1.1 200 "));
}

/// They are for those who know of them, in the order in which they come.
#[tokio::test]
async fn informational_answers_come_ahead() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nContent-Length: 9\r\n\r\n";
    let address = instance(move |mut wire| async move {
        while wire.head().await.is_some() {
            wire.write(early).await;
            // Only who has them asks for more.
            wire.0.read_u8().await.unwrap();
            wire.write(OK).await;
        }
    })
    .await;
    let world = World::before(vec![address.clone()]);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Content-Length: 1\r\n\r\n")).await;
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 102 Processing\r\n\r\n");
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    client.write("x").await;
    assert!(client.request().await.unwrap().ends_with("ok"));

    let old = post.replace("HTTP/1.1", "HTTP/1.0");
    let answer = world.ask(format!("{old}Content-Length: 1\r\n\r\nx")).await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

/// The clock stands still until nothing is left to do, so both sides must be tasks of this runtime.
#[tokio::test(start_paused = true)]
async fn a_slow_instance_is_a_504() {
    let address = instance(|mut wire| async move {
        wire.request().await;
        // Not by way of `soon`: its patience ends on the same clock.
        let _ = wire.0.read_u8().await;
    })
    .await;
    let limit = Duration::from_secs(60);
    let world = World::with_timeout(vec![address], Some(limit));
    let start = tokio::time::Instant::now();
    let mut client = world.client().await;
    client.write(format!("{GET}Connection: close\r\n\r\n")).await;
    let mut answer = String::new();
    client.0.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), "504");
    assert!(start.elapsed() >= limit);
    world.fleet.in_use(0).await;
}

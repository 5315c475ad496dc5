use std::{future::poll_fn, net::Ipv4Addr};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;
use crate::{
    listen::Places,
    upload::{Shelf, Upload},
    wire::Socket,
};

const INVITED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
    Content-Length: 4\r\n\r\n";

/// A client, and the reader of its connection, to whom a body was announced.
async fn announced() -> (TcpStream, Wire, Box<Reader>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let stream = Arc::new(accepted.unwrap().0);
    let settings = ProxySettings::DEFAULT;
    let places = Places::new(&settings);
    let place = places.take(places.room().await, Arc::clone(&stream), None).unwrap();
    let wire = Wire::from(Socket::Tcp(stream));
    let (guest, interims) = (Arc::clone(place.guest()), Interims::default());
    let mut reader = Reader::new(wire.clone(), guest, &settings, interims, INVITED);
    assert!(poll_fn(|cx| reader.poll_head(cx)).await.unwrap().is_some());
    (client.unwrap(), wire, reader)
}

/// A client that takes nothing, not even that, is not waited for any longer than one that sends
/// nothing.
#[tokio::test(start_paused = true)]
async fn an_invitation_that_is_not_taken_is_given_up() {
    let (_client, wire, mut reader) = announced().await;
    let piece = [b'x'; 1 << 16];
    let second = std::time::Duration::from_secs(1);
    while timeout(second, wire.write_all(&piece)).await.is_ok() {}
    let patience = 2 * ProxySettings::DEFAULT.body_timeout;
    let body = timeout(patience, poll_fn(|cx| reader.poll_data(cx).map_ok(|_| ()))).await;
    assert_eq!(body.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
}

/// It would be a part of the answer.
#[tokio::test]
async fn nobody_is_invited_after_the_answer_has_begun() {
    let (mut client, wire, reader) = announced().await;
    let mut upload = Upload::http1(Shelf::default().lend(reader));
    upload.progress().unwrap().answered();
    let body = poll_fn(|cx| Poll::Ready(upload.poll_data(cx).is_pending())).await;
    assert!(body);
    drop(upload);
    wire.write_all(b"answer").await.unwrap();
    poll_fn(|cx| wire.poll_end_writing(cx)).await.unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "answer");
}

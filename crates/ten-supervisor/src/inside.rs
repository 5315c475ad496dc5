//! What an instance's init makes for those outside (`ten_kernel::Door`): sockets in its
//! network, where that is its own, and commands behind its walls. Here they are waited for.
//! Nothing here knows whose it is.

use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use ten_kernel::{CommandLine, Door, SockDiag, Wanted, take_socket};
use tokio::{
    io::Interest,
    net::{TcpSocket, TcpStream, UnixDatagram},
    time::sleep,
};

/// How long to wait before asking again where init has not got round to earlier questions:
/// there is no event to wait for.
const PAUSE: Duration = Duration::from_millis(1);

/// A TCP socket in there, which is not connected yet. Waits for as long as init lives: one
/// whose cgroup is out of CPU time may take long.
pub(crate) async fn tcp(door: &Door) -> io::Result<TcpSocket> {
    Ok(TcpSocket::from_std_stream(socket(door, Wanted::Tcp).await?.into()))
}

/// A connection to somebody in there.
pub(crate) async fn connect(door: &Door, to: SocketAddr) -> io::Result<TcpStream> {
    tcp(door).await?.connect(to).await
}

/// A way to ask who listens in there.
pub(crate) async fn sock_diag(door: &Door) -> io::Result<SockDiag> {
    socket(door, Wanted::SockDiag).await.map(SockDiag::of)
}

/// A command in there, which may or may not come to be executed.
pub(crate) async fn command(door: &Door, line: &CommandLine) -> io::Result<UnixDatagram> {
    UnixDatagram::from_std(heard(|| door.run(line)).await?.into())
}

async fn socket(door: &Door, wanted: Wanted) -> io::Result<OwnedFd> {
    // To tokio it is a socket of messages like any other.
    let answer = UnixDatagram::from_std(heard(|| door.ask(wanted)).await?.into())?;
    answer.async_io(Interest::READABLE, || take_socket(&answer)).await
}

/// Asks until init has room for the question.
async fn heard<T>(ask: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match ask() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
            asked => return asked,
        }
    }
}

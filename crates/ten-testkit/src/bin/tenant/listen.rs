//! Where requests come in.

use std::{
    env, fs,
    io::{self, ErrorKind},
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::Arc,
    thread,
};

use listenfd::ListenFd;

use crate::{
    args::{Args, Listen},
    http::{self, Stream},
    routes::Routes,
};

/// Listens everywhere that the arguments name, and serves for ever.
pub(crate) fn serve(args: &Args) -> io::Result<()> {
    let routes = Arc::new(Routes::default());
    for listen in &args.listen {
        match listen {
            Listen::None => {}
            Listen::Port => {
                let port = variable("PORT")?.parse().map_err(io::Error::other)?;
                serve_tcp(TcpListener::bind(("127.0.0.1", port))?, &routes)?;
            }
            Listen::Wrong => serve_tcp(TcpListener::bind(("127.0.0.1", 0))?, &routes)?,
            Listen::Socket => {
                let path = variable("SOCKET_PATH")?;
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != ErrorKind::NotFound
                {
                    return Err(error);
                }
                serve_unix(UnixListener::bind(path)?, &routes);
            }
            Listen::Activation => {
                let listener = ListenFd::from_env().take_unix_listener(0)?;
                serve_unix(listener.ok_or_else(|| io::Error::other("no fd 3"))?, &routes);
            }
        }
    }
    eprintln!("tenant: ready");
    loop {
        thread::park();
    }
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

/// Says the port, which is news where `PORT` is 0.
fn serve_tcp(listener: TcpListener, routes: &Arc<Routes>) -> io::Result<()> {
    eprintln!("tenant: listens on {}", listener.local_addr()?);
    let routes = Arc::clone(routes);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            spawn(Box::new(stream), &routes);
        }
    });
    Ok(())
}

fn serve_unix(listener: UnixListener, routes: &Arc<Routes>) {
    let routes = Arc::clone(routes);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            spawn(Box::new(stream), &routes);
        }
    });
}

/// A client that goes away is its own affair.
fn spawn(stream: Box<dyn Stream>, routes: &Arc<Routes>) {
    routes.accepted();
    let routes = Arc::clone(routes);
    thread::spawn(move || {
        let _ = http::serve(stream, |exchange| routes.answer(exchange));
    });
}

//! A front that does what the test says and says what the warden does: lines of JSON over
//! the admin socket, one test at a time.

use std::{
    collections::HashMap,
    io,
    process::ExitCode,
    sync::{Arc, Mutex as StdMutex},
};

use serde::{Deserialize, Serialize};
use ten_kernel::{
    CommandLine, Door, LaunchPlan, Streams, Wanted, take_end, take_given, take_socket, take_start,
};
use ten_warden::{Event, Exit, LaunchId, Output, WardenHandle, connect};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest},
    net::{TcpSocket, UnixDatagram, UnixListener, unix::pipe},
    sync::{Mutex, Notify, mpsc},
};

/// What the test tells the front.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Launch {
        launch: u64,
        plan: Box<LaunchPlan>,
    },
    Signal {
        launch: u64,
        signal: i32,
    },
    Kill {
        launch: u64,
    },
    /// Connect to a port in a tree's own network, and say what is written there.
    Dial {
        launch: u64,
        port: u16,
    },
    /// Run a command in a tree, and say what it wrote and how it ended.
    Run {
        launch: u64,
        argv: Vec<String>,
    },
    /// Have the shown files opened, and say what is in them.
    Show,
    Farewell,
}

/// What the front tells the test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Line {
    Boot {
        pid: u32,
        note: Vec<u8>,
        next_launch: u64,
        listeners: Vec<String>,
        /// With the pids of those that run.
        living: Vec<(u64, Option<u32>)>,
    },
    Preparing {
        launch: u64,
    },
    Launched {
        launch: u64,
        pid: u32,
    },
    Failed {
        launch: u64,
        reason: String,
    },
    Exited {
        launch: u64,
        exit: Exit,
    },
    Output {
        launch: u64,
        text: String,
    },
    Dialled {
        launch: u64,
        port: u16,
        text: String,
    },
    Ran {
        launch: u64,
        text: String,
    },
    Shown {
        texts: Result<Vec<String>, String>,
    },
    Terminate,
    Reload,
}

pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve());
    // Readers of output may still wait: the warden's word is what counts.
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

async fn serve() {
    let (boot, warden, events) = connect(take_given().unwrap()).await.unwrap();
    let (lines, to_say) = mpsc::unbounded_channel();
    let living = boot.living.iter();
    let living =
        living.map(|tree| (tree.launch.0, tree.running.as_ref().map(|it| it.pid))).collect();
    lines
        .send(Line::Boot {
            pid: std::process::id(),
            note: boot.note,
            next_launch: boot.next_launch.0,
            listeners: boot.listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect(),
            living,
        })
        .unwrap();
    let doors = Doors::default();
    for tree in boot.living {
        let Some(running) = tree.running else { continue };
        read_both(&lines, tree.launch, running.output);
        doors.lock().unwrap().insert(tree.launch.0, Arc::new(running.door));
    }
    let over = Arc::new(Notify::new());
    tokio::spawn(relay_events(events, lines.clone(), over.clone(), Arc::clone(&doors)));
    let admin = UnixListener::from_std(boot.admin).unwrap();
    let to_say = Arc::new(Mutex::new(to_say));
    let leave = Arc::new(Notify::new());
    loop {
        tokio::select! {
            stream = admin.accept() => {
                let (read, write) = stream.unwrap().0.into_split();
                tokio::spawn(say(to_say.clone(), write));
                let visitor = Visitor { doors: Arc::clone(&doors), lines: lines.clone() };
                tokio::spawn(obey(read, warden.clone(), leave.clone(), visitor));
            }
            () = over.notified() => return,
            () = leave.notified() => return,
        }
    }
}

async fn say(
    lines: Arc<Mutex<mpsc::UnboundedReceiver<Line>>>,
    mut to: tokio::net::unix::OwnedWriteHalf,
) {
    let mut lines = lines.lock().await;
    while let Some(line) = lines.recv().await {
        let mut text = serde_json::to_vec(&line).unwrap();
        text.push(b'\n');
        if to.write_all(&text).await.is_err() {
            return;
        }
    }
}

type Doors = Arc<StdMutex<HashMap<u64, Arc<Door>>>>;

/// Whoever goes through doors.
struct Visitor {
    doors: Doors,
    lines: mpsc::UnboundedSender<Line>,
}

impl Visitor {
    fn dial(&self, launch: u64, port: u16) {
        let (door, lines) = self.at(launch);
        tokio::spawn(async move {
            let text = dial(&door, port).await.unwrap_or_else(|error| error.to_string());
            let _ = lines.send(Line::Dialled { launch, port, text });
        });
    }

    fn run(&self, launch: u64, argv: Vec<String>) {
        let (door, lines) = self.at(launch);
        tokio::spawn(async move {
            let text = run_command(&door, argv).await.unwrap_or_else(|error| error.to_string());
            let _ = lines.send(Line::Ran { launch, text });
        });
    }

    fn at(&self, launch: u64) -> (Arc<Door>, mpsc::UnboundedSender<Line>) {
        let door = self.doors.lock().unwrap().get(&launch).cloned().expect("a tree that runs");
        (door, self.lines.clone())
    }
}

async fn run_command(door: &Door, argv: Vec<String>) -> io::Result<String> {
    let line = CommandLine { argv, terminal: None };
    let end = UnixDatagram::from_std(door.run(&line)?.into())?;
    let streams = match end.async_io(Interest::READABLE, || take_start(&end)).await? {
        Ok(streams) => streams,
        Err(failure) => return Ok(failure.to_string()),
    };
    let Streams::Pipes { stdout, .. } = streams else { unreachable!() };
    let mut text = String::new();
    pipe::Receiver::from_owned_fd(stdout)?.read_to_string(&mut text).await?;
    let status = end.async_io(Interest::READABLE, || take_end(&end)).await?;
    Ok(format!("{text}{status:?}"))
}

async fn dial(door: &Door, port: u16) -> io::Result<String> {
    let answer = UnixDatagram::from_std(door.ask(Wanted::Tcp)?.into())?;
    let socket = answer.async_io(Interest::READABLE, || take_socket(&answer)).await?;
    let socket = TcpSocket::from_std_stream(socket.into());
    let mut text = String::new();
    socket.connect(([127, 0, 0, 1], port).into()).await?.read_to_string(&mut text).await?;
    Ok(text)
}

async fn obey(
    from: tokio::net::unix::OwnedReadHalf,
    warden: WardenHandle,
    leave: Arc<Notify>,
    visitor: Visitor,
) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line).unwrap() {
            Order::Launch { launch, plan } => {
                let order = serde_json::to_vec(&plan).unwrap();
                warden.launch(LaunchId(launch), order, launch.to_string().into_bytes());
            }
            Order::Signal { launch, signal } => warden.signal(LaunchId(launch), signal),
            Order::Show => warden.show(),
            Order::Kill { launch } => warden.kill(LaunchId(launch)),
            Order::Dial { launch, port } => visitor.dial(launch, port),
            Order::Run { launch, argv } => visitor.run(launch, argv),
            Order::Farewell => {
                warden.farewell();
                // Let the connection's task say it.
                tokio::task::yield_now().await;
                leave.notify_one();
            }
        }
    }
}

async fn relay_events(
    mut events: mpsc::Receiver<Event>,
    lines: mpsc::UnboundedSender<Line>,
    over: Arc<Notify>,
    doors: Doors,
) {
    while let Some(event) = events.recv().await {
        let line = match event {
            Event::Preparing { launch } => Line::Preparing { launch: launch.0 },
            Event::Launched { launch, running } => {
                read_both(&lines, launch, running.output);
                doors.lock().unwrap().insert(launch.0, Arc::new(running.door));
                Line::Launched { launch: launch.0, pid: running.pid }
            }
            Event::Found { .. } => continue,
            Event::LaunchFailed { launch, reason, .. } => Line::Failed { launch: launch.0, reason },
            Event::Exited { launch, exit } => Line::Exited { launch: launch.0, exit },
            Event::Shown(files) => {
                Line::Shown { texts: files.map(|files| files.into_iter().map(text).collect()) }
            }
            Event::Terminate => Line::Terminate,
            Event::Reload => Line::Reload,
        };
        let _ = lines.send(line);
    }
    over.notify_one();
}

fn text(file: std::fs::File) -> String {
    io::read_to_string(file).unwrap()
}

fn read_both(lines: &mpsc::UnboundedSender<Line>, launch: LaunchId, output: Output) {
    for fd in [output.stdout, output.stderr] {
        let lines = lines.clone();
        tokio::spawn(async move {
            let mut pipe = pipe::Receiver::from_owned_fd(fd).unwrap();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes).await {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                let _ = lines.send(Line::Output { launch: launch.0, text });
            }
        });
    }
}

//! Trees that take as much as they get of what they share with their init, or with us.

use ten_kernel::{Network, Walls};
use ten_warden::Exit;

use crate::{
    front::{Line, Order},
    host::{Host, Level},
};

/// Signals its init as fast as it can, and ends or stays.
const SIGNALS: &str = "
import os, signal
init = os.getppid()
# Of these each one is queued, and none of them is merged with another.
flood = signal.SIGRTMIN + 2
for number in flood, signal.SIGTERM: signal.signal(number, signal.SIG_IGN)
begun, begins = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        for _ in range(1000): os.kill(init, signal.SIGTERM)
        os.write(begins, b'.')
        while True:
            try:
                while True: os.kill(init, flood)
            except OSError: pass
for _ in range(4): os.read(begun, 1)
print('ready', flush=True)
if os.environ['THEN'] == 'end': os._exit(7)
while True: signal.pause()
";

pub(super) fn of_signals(host: &mut Host, level: Level) {
    for (then, exit) in [("end", Exit::Code(7)), ("stay", Exit::Signal(9))] {
        let (launch, mut plan) = host.plan(level, "");
        plan.program = "/usr/bin/python3".into();
        plan.argv = ["python3", "-c", SIGNALS].map(String::from).to_vec();
        plan.env.push(("THEN".into(), then.into()));
        host.launch(launch, plan);
        host.wait_for_text(launch, "ready");
        if then == "stay" {
            host.order(&Order::Kill { launch });
        }
        assert_eq!(host.exit_of(launch), exit);
        assert_eq!(host.processes(), [0; 0]);
    }
}

/// Sends descriptors that nobody receives for as long as its user may (unix(7), ETOOMANYREFS).
const DESCRIPTORS: &str = "
import array, errno, resource, signal, socket
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held, refused = [], False
while not refused:
    held.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    sender = held[-1][0]
    sender.setblocking(False)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 253))]
    try:
        while True: sender.sendmsg([b'.'], rights)
    except BlockingIOError: pass
    except OSError as error: refused = error.errno == errno.ETOOMANYREFS
print('ready', flush=True)
while True: signal.pause()
";

const ANSWERS: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 30000))
print('ready', flush=True)
while True: listener.accept()[0].send(b'hello')
";

/// Trees that run as the same user share the count, and so do their inits and an ordinary
/// user's warden.
pub(super) fn of_descriptors(host: &mut Host) {
    let mut start = |script: &str| {
        let (launch, mut plan) = host.plan(Level::Namespaces, "");
        let Walls::Namespaces { network, .. } = &mut plan.walls else { unreachable!() };
        *network = Network::Loopback;
        plan.program = "/usr/bin/python3".into();
        plan.argv = ["python3", "-c", script].map(String::from).to_vec();
        host.launch(launch, plan);
        host.wait_for_text(launch, "ready");
        launch
    };
    let launches = [DESCRIPTORS, ANSWERS].map(&mut start);
    host.order(&Order::Dial { launch: launches[1], port: 30000 });
    let said = host.wait_for(|line| match line {
        Line::Dialled { text, .. } => Some(text.clone()),
        _ => None,
    });
    assert_eq!(said, "hello");
    for launch in launches {
        host.order(&Order::Kill { launch });
        assert_eq!(host.exit_of(launch), Exit::Signal(9));
    }
}

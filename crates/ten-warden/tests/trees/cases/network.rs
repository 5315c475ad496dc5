//! Trees in a network of their own, and the way in through the door that init keeps.

use ten_kernel::{Mount, Network, Walls};
use ten_warden::Exit;

use crate::{
    front::{Line, Order},
    host::{Host, Level, signal_pid},
};

/// Says its name to whoever connects to the one port that everybody has.
const ANSWERS: &str = "
import os, socket
listener = socket.create_server(('127.0.0.1', 30000))
# Beside the usual three: the listener and the folder that is listed.
print('files', *sorted(os.listdir('/proc/self/fd')))
print('devices', *sorted(os.listdir('/sys/class/net')))
try: socket.socket(socket.AF_VSOCK)
except OSError as error: print('vsock', error.strerror)
try: socket.create_connection(('192.0.2.1', 80), 1)
except OSError as error: print('out', error.strerror)
print('ready', flush=True)
while True: listener.accept()[0].send(os.environ['NAME'].encode())
";

pub(super) fn a_network_of_its_own(host: &mut Host) {
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let Line::Boot { pid: front, .. } = host.boot() else { unreachable!() };
    let launches = ["one", "other"].map(|name| {
        let (launch, mut plan) = host.plan(Level::Namespaces, "");
        let Walls::Namespaces { network, mounts, .. } = &mut plan.walls else { unreachable!() };
        *network = Network::Loopback;
        mounts.push(Mount::Sys);
        plan.program = "/usr/bin/python3".into();
        plan.argv = ["python3", "-c", ANSWERS].map(String::from).to_vec();
        plan.env.push(("NAME".into(), name.into()));
        host.launch(launch, plan);
        let said = host.wait_for_text(launch, "ready");
        let expected = "files 0 1 2 3 4\ndevices lo\n\
                        vsock Address family not supported by protocol\n\
                        out Network is unreachable\nready\n";
        assert_eq!(said, expected);
        launch
    });
    let dial = |host: &mut Host, launch, port| {
        host.order(&Order::Dial { launch, port });
        host.wait_for(|line| match line {
            Line::Dialled { launch: l, port: p, text } if (*l, *p) == (launch, port) => {
                Some(text.clone())
            }
            _ => None,
        })
    };
    assert_eq!(launches.map(|launch| dial(host, launch, 30000)), ["one", "other"]);
    signal_pid(front, 9);
    host.reconnect();
    assert_eq!(launches.map(|launch| dial(host, launch, 30000)), ["one", "other"]);
    let outside = stranger.local_addr().unwrap().port();
    assert!(dial(host, launches[0], outside).contains("refused"));
    for launch in launches {
        host.order(&Order::Kill { launch });
        assert_eq!(host.exit_of(launch), Exit::Signal(9));
    }
}

/// A socket tells of the network that it was made in, whoever holds it (netdevice(7)).
const LISTS: &str = "
import array, fcntl, struct
SIOCGIFCONF, SIOCGIFHWADDR, SIOCGIWNAME = 0x8912, 0x8927, 0x8b01
room = array.array('B', bytes(4096))
for name, request, argument in [
    ('list', SIOCGIFCONF, struct.pack('iL', 4096, room.buffer_info()[0])),
    ('hardware', SIOCGIFHWADDR, b'lo'.ljust(40, bytes(1))),
    ('wireless', SIOCGIWNAME, b'lo'.ljust(40, bytes(1))),
]:
    try: print(name, fcntl.ioctl(3, request, argument))
    except OSError as error: print(name, error.strerror)
print('the-end', flush=True)
";

pub(super) fn what_it_is_given_tells_of_no_other_network(host: &mut Host) {
    let socket = host.folder().join("given").join("app.sock");
    let (launch, mut plan) = host.plan(Level::Namespaces, "");
    let Walls::Namespaces { network, .. } = &mut plan.walls else { unreachable!() };
    *network = Network::Loopback;
    plan.folders = vec![socket.parent().unwrap().into()];
    plan.socket = Some(socket);
    plan.activation = true;
    plan.program = "/usr/bin/python3".into();
    plan.argv = ["python3", "-c", LISTS].map(String::from).to_vec();
    let said = host.finish(launch, plan);
    let denied = "Operation not permitted";
    assert_eq!(said, format!("list {denied}\nhardware {denied}\nwireless {denied}\n"));
}

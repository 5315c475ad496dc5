//! The loop: one thread that waits for the kernel and for the front, and for nothing else.
//!
//! ```text
//!          signals ─┐
//!   front's socket ─┤          ┌─► trees (launch, signal, kill, settle)
//!     front's exit ─┼─ epoll ──┤
//!      init's exit ─┤          └─► messages to the front, queued where it is slow
//!    init's report ─┤
//!  cgroup is empty ─┤
//!   a file appears ─┘
//! ```
//!
//! No event is waited for in the middle of another, no process is looked for by polling, and
//! nothing that comes from a network is ever parsed here. Sockets are looked for (`sockets.rs`),
//! while somebody wants to know.

mod shutdown;
mod sockets;
mod trees;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    io::Errno,
    process::Signal,
};
use ten_kernel::{Child, DirLock, Signals, procfs, remove_socket};

use self::{shutdown::Shutdown, sockets::Sought};
use crate::{
    front::{Beside, Front, FrontCommand, Restarts},
    keeper::Keeping,
    open::Options,
    planner::Planner,
    protocol::{LaunchId, Runs, ToFront, ToWarden},
    record::{Named, Servant},
    source::Source,
    tree::{Places, Tree},
    wire::{Inbox, ReceiveError},
};

/// Events taken from the kernel at once.
const BATCH: usize = 64;
/// Told once whenever there is something to read, or room again; each time both directions
/// are carried on with until they would block.
const FRONT_FLAGS: EventFlags = EventFlags::IN.union(EventFlags::OUT).union(EventFlags::ET);

/// The parent of every tree. Made by [`Warden::open`].
#[derive(Debug)]
pub struct Warden {
    epoll: OwnedFd,
    signals: Signals,
    trees: BTreeMap<LaunchId, Tree>,
    next_launch: LaunchId,
    places: Places,
    front: Option<Front>,
    /// When the next front is started, where there is none.
    next_front: Option<Instant>,
    restarts: Restarts,
    shutdown: Shutdown,
    sought: Sought,
    planner: Arc<dyn Planner>,
    command: FrontCommand,
    keeping: Keeping,
    front_group: Option<u32>,
    addresses: Vec<SocketAddr>,
    boot: Rc<Vec<OwnedFd>>,
    note_len: usize,
    shown: Vec<PathBuf>,
    inbox: Inbox,
    admin_socket: PathBuf,
    /// Children that this process had before it became the warden: a shell that started
    /// something and then turned into `ten serve` leaves it some.
    strangers: Vec<u32>,
    _lock: DirLock,
}

impl Warden {
    pub(crate) fn new(
        options: Options,
        lock: DirLock,
        places: Places,
        addresses: Vec<SocketAddr>,
        boot: Vec<OwnedFd>,
    ) -> Result<Self, Errno> {
        let sweeper = places.folders.sweeper();
        let children = procfs::children(std::process::id()).into_iter();
        let strangers = children.filter(|pid| Some(*pid) != sweeper).collect();
        let list = [Signal::TERM, Signal::INT, Signal::HUP, Signal::CHILD];
        let warden = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            signals: Signals::take(&list.map(Signal::as_raw))?,
            trees: BTreeMap::new(),
            next_launch: LaunchId::FIRST,
            places,
            front: None,
            next_front: Some(Instant::now()),
            restarts: Restarts::default(),
            shutdown: Shutdown::No,
            sought: Sought::nobody(),
            planner: options.planner,
            command: options.front,
            keeping: options.keeping,
            front_group: options.front_group,
            addresses,
            boot: Rc::new(boot),
            note_len: options.note.len(),
            shown: options.shown,
            inbox: Inbox::new(),
            admin_socket: options.admin_socket,
            strangers,
            _lock: lock,
        };
        warden.listen_to(&warden.signals, Source::Signals, EventFlags::IN)?;
        if let Some(watches) = warden.sought.watches() {
            warden.listen_to(watches, Source::Files, EventFlags::IN)?;
        }
        Ok(warden)
    }

    /// Where requests are accepted, with the ports that were taken for 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until it is told to stop and nothing is left.
    pub fn run(mut self) -> ExitCode {
        let mut events = Vec::with_capacity(BATCH);
        // What the start has left over: every fork from here on would have it too.
        ten_kernel::give_back_free_heap();
        loop {
            self.act_on_time();
            if let Some(code) = self.is_over() {
                self.leave();
                return code;
            }
            let timeout = self.timeout();
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot wait for events");
                    return ExitCode::FAILURE;
                }
            }
            for event in &events {
                self.on_event(Source::from_number(event.data.u64()));
            }
        }
    }

    fn on_event(&mut self, source: Source) {
        match source {
            Source::Signals => self.on_signals(),
            Source::FrontSocket => self.on_front_socket(),
            Source::FrontExit => self.on_front_exit(),
            Source::Files => self.look_where_told(),
            Source::Tree(launch, part) => self.on_tree(launch, part),
        }
    }

    fn on_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                signal if signal == Signal::CHILD.as_raw() => self.settle_all(),
                signal if signal == Signal::HUP.as_raw() => self.tell(&ToFront::Reload),
                _ => self.stop(),
            }
        }
    }

    // The front.

    fn start_front(&mut self) {
        self.next_front = None;
        let started = Front::start(&self.command, &self.keeping);
        let started = started.map_err(|failure| failure.to_string());
        let listened = started.and_then(|(front, keeper)| {
            self.listen_to(front.child(), Source::FrontExit, EventFlags::IN)
                .and_then(|()| match front.keeper() {
                    Some(keeper) => self.listen_to(keeper, Source::FrontExit, EventFlags::IN),
                    None => Ok(()),
                })
                .and_then(|()| self.listen_to(front.socket(), Source::FrontSocket, FRONT_FLAGS))
                .map(|()| (front, keeper))
                .map_err(|errno| errno.to_string())
        });
        match listened {
            Ok((front, keeper)) => self.brief(front, keeper),
            Err(error) => {
                let delay = self.restarts.after(Duration::ZERO);
                tracing::error!(error, ?delay, "cannot start the front");
                self.next_front = Some(Instant::now() + delay);
            }
        }
    }

    /// Puts a new front on record and tells it about the present.
    fn brief(&mut self, mut front: Front, keeper: OwnedFd) {
        let named = |child: &Child| Named::of(child, &self.places.boot_id);
        let servants = [
            (Servant::Front, named(front.child())),
            (Servant::Keeper, front.keeper().and_then(named)),
        ];
        for (servant, named) in servants {
            if let Some(named) = named
                && let Err(error) = self.places.folders.write_servant(servant, &named)
            {
                tracing::warn!(%error, ?servant, "cannot be put on record");
            }
        }
        let boot = ToFront::Boot {
            tcp_listeners: self.addresses.len(),
            next_launch: self.next_launch,
            note_len: self.note_len,
        };
        front.say(&boot, Beside::Boot(self.boot.clone(), Rc::new(keeper)));
        for tree in self.trees.values() {
            match tree.is_launching() {
                true => front.await_decision(tree.launch),
                false => introduce_running(&mut front, tree),
            }
        }
        self.front = Some(front);
        self.try_ready();
    }

    /// Ends the boot of the front once every tree was named, and tells it what happened since.
    /// Trees that move data are named last, as what they are by then: nobody waits for them.
    fn try_ready(&mut self) {
        let Some(front) = self.front.as_mut().filter(|front| front.has_decisions()) else { return };
        for tree in self.trees.values().filter(|tree| tree.is_preparing()) {
            introduce(front, tree, None, Beside::Nothing);
        }
        front.begin();
        if let Shutdown::Asked = self.shutdown {
            self.tell(&ToFront::Terminate);
        }
        self.settle_all();
    }

    fn on_front_socket(&mut self) {
        while let Some(front) = &mut self.front {
            front.flush();
            match self.inbox.receive(front.socket()) {
                Ok(Some((message, _))) => self.obey(message),
                Err(ReceiveError::Socket(Errno::INTR)) => {}
                Err(ReceiveError::Socket(Errno::AGAIN)) => return,
                Ok(None) => return self.drop_front(None),
                Err(error) => return self.drop_front(Some(&error)),
            }
        }
    }

    /// A front that cannot be talked to is no front, unless it is about to leave. Its
    /// socket leaves the loop here; its end is seen by its pidfd.
    fn drop_front(&self, why: Option<&ReceiveError>) {
        let Some(front) = &self.front else { return };
        if let Some(error) = why {
            tracing::error!(%error, "cannot understand the front");
        }
        if !self.shutdown.is_farewell() {
            front.kill();
        }
        // It can only be missing where adding it failed.
        let _ = epoll::delete(&self.epoll, front.socket());
    }

    fn on_front_exit(&mut self) {
        let Some(front) = &mut self.front else { return };
        // It can only be missing where adding it failed.
        front.reap(|child| {
            let _ = epoll::delete(&self.epoll, child);
        });
        let Some(status) = front.ended().copied() else { return };
        // Its last words may be a farewell.
        self.on_front_socket();
        let Some(front) = self.front.take() else { return };
        match self.shutdown {
            Shutdown::No => {
                let delay = self.restarts.after(front.age());
                let (code, signal) = (status.exit_status(), status.terminating_signal());
                tracing::error!(code, signal, ?delay, "the front ended; starting another");
                self.next_front = Some(Instant::now() + delay);
            }
            _ => self.front_left(),
        }
    }

    fn obey(&mut self, message: ToWarden) {
        match message {
            ToWarden::Launch { launch, order, note } => self.launch(launch, &order, note),
            ToWarden::Signal { launch, signal } => {
                self.with_tree(launch, |tree| tree.signal(signal));
            }
            ToWarden::Kill { launch } => self.with_tree(launch, Tree::kill),
            ToWarden::Seek { launch, wanted } => self.seek(launch, wanted),
            ToWarden::Show => self.show(),
            ToWarden::Farewell => self.farewell(),
        }
    }

    /// Which files they are was said at the start: no front chooses what is opened for it.
    fn show(&mut self) {
        let open = |path: &PathBuf| {
            let opened = ten_kernel::open_regular(path);
            opened.map(OwnedFd::from).map_err(|error| format!("{}: {error}", path.display()))
        };
        // One that does not listen could have us open all the files that we can.
        let opened = match self.front.as_ref().is_some_and(Front::is_behind) {
            true => Err("the front does not listen".to_owned()),
            false => self.shown.iter().map(open).collect(),
        };
        let (lacks, files) = match opened {
            Ok(files) => (None, files),
            Err(lacks) => (Some(lacks), Vec::new()),
        };
        self.tell_with(&ToFront::Shown { lacks }, Beside::Files(Rc::new(files)));
    }

    /// A tree that has ended meanwhile needs nothing any more.
    fn with_tree(&mut self, launch: LaunchId, act: impl FnOnce(&mut Tree)) {
        if let Some(tree) = self.trees.get_mut(&launch) {
            act(tree);
        }
    }

    fn tell(&mut self, message: &ToFront) {
        self.tell_with(message, Beside::Nothing);
    }

    fn tell_with(&mut self, message: &ToFront, beside: Beside) {
        if let Some(front) = self.front.as_mut().filter(|front| front.is_ready()) {
            front.say(message, beside);
        }
    }

    // The loop's own.

    fn listen_to(&self, fd: impl AsFd, source: Source, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, EventData::new_u64(source.number()), flags)
    }

    fn act_on_time(&mut self) {
        let now = Instant::now();
        if self.next_front.is_some_and(|at| at <= now) {
            self.start_front();
        }
        self.look_everywhere(now);
        self.places.act(now);
        self.act_on_deadline(now);
    }

    fn timeout(&self) -> Option<Timespec> {
        let own = [self.next_front, self.shutdown.deadline()];
        let next = own.into_iter().chain([self.sought.next(), self.places.due()]);
        let next = next.flatten().min()?;
        let left = next.saturating_duration_since(Instant::now());
        Some(Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() })
    }

    fn leave(&self) {
        if let Some(cgroups) = &self.places.cgroups {
            cgroups.remove();
        }
        self.places.way_out.remove();
        let removed =
            remove_socket(&self.admin_socket).and_then(|()| self.places.folders.remove_servants());
        let removed = removed.and_then(|()| self.places.folders.remove_spares());
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove the admin socket, servants' records and spares");
        }
    }
}

fn introduce_running(front: &mut Front, tree: &Tree) {
    if let Some(runs) = tree.runs() {
        introduce(front, tree, Some(runs), Beside::Ends(tree.ends.clone()));
    }
}

fn introduce(front: &mut Front, tree: &Tree, runs: Option<Runs>, beside: Beside) {
    let living = ToFront::Living { launch: tree.launch, runs, note: tree.note.clone() };
    front.say(&living, beside);
}

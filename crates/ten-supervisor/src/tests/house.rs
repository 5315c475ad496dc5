//! A house without a kernel: a fleet whose warden is a task, and whose tenants are Unix
//! sockets that answer.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use ten_domain::*;
use ten_kernel::Door;
use ten_logs::Logs;
use ten_runtime::{Ground, HostEnvironment};
use ten_store::{KnownInstance, Store};
use ten_warden::{
    Event, Exit, FrontCommand, Keeper, Keeping, LaunchId, Living, Output, Running, ToWarden,
    WardenHandle,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, mpsc},
    task::AbortHandle,
    time::sleep,
};

use crate::{Beginning, Fleet, Order};

pub(crate) fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

/// Lets time pass. Where the clock is paused that takes none, and nothing passes before
/// everybody has done what there was to do.
pub(super) async fn pass(time: Duration) {
    sleep(time).await;
}

/// How tenants behave from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub(super) listens: bool,
    /// How long their data are moved before they run; zero: there is nothing to move.
    pub(super) moving_takes: Duration,
    pub(super) start_takes: Duration,
    pub(super) stop_takes: Duration,
    pub(super) ignores_signals: bool,
    pub(super) dies_at_once: Option<Exit>,
    pub(super) healthy: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            listens: true,
            moving_takes: Duration::ZERO,
            start_takes: Duration::ZERO,
            stop_takes: Duration::ZERO,
            ignores_signals: false,
            dies_at_once: None,
            healthy: true,
        }
    }
}

#[derive(Debug)]
struct Tenant {
    instance: String,
    note: Vec<u8>,
    socket: PathBuf,
    runs: bool,
    serving: Option<AbortHandle>,
}

#[derive(Debug)]
struct World {
    folder: PathBuf,
    script: Script,
    health_checks: usize,
    launches: usize,
    most_at_once: usize,
    living: HashMap<LaunchId, Tenant>,
    /// Who has it keeps data from being moved to the end.
    reading: Arc<AsyncMutex<()>>,
    events: mpsc::Sender<Event>,
}

/// The fleet under test and the world around it.
pub(super) struct House {
    pub(super) fleet: Fleet,
    folder: Arc<tempfile::TempDir>,
    config: Arc<Config>,
    store: Store,
    world: Arc<Mutex<World>>,
}

impl House {
    /// A house with one service, `api`, changed as the test wants it.
    pub(super) async fn new(change: impl FnOnce(&mut ServiceSpec)) -> Self {
        Self::with_settings(change, |_| {}).await
    }

    /// The same, with other settings for strangers.
    pub(super) async fn with_settings(
        change: impl FnOnce(&mut ServiceSpec),
        settings: impl FnOnce(&mut ProxySettings),
    ) -> Self {
        let mut proxy = ProxySettings::DEFAULT;
        settings(&mut proxy);
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut spec = spec();
        change(&mut spec);
        let config = Arc::new(Config {
            folder: "/".into(),
            settings: Settings {
                data_dir: folder.path().into(),
                admin_host: None,
                backoff: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) },
                crash_limit: CrashLimit { max_restarts: 3, window: Duration::from_secs(300) },
                trash_retention: Duration::from_secs(60),
                proxy,
                tls: None,
            },
            services: [(spec.name.clone(), Arc::new(spec))].into(),
            instances: vec![],
            routing: Routing::default(),
        });
        let store = Store::open(folder.path()).unwrap();
        let (events, seen) = mpsc::channel(64);
        let world = World {
            folder: folder.path().into(),
            script: Script::default(),
            health_checks: 0,
            launches: 0,
            most_at_once: 0,
            living: HashMap::new(),
            reading: Arc::default(),
            events,
        };
        Self::begin(folder, config, store, Arc::new(Mutex::new(world)), seen, vec![]).await
    }

    async fn begin(
        folder: Arc<tempfile::TempDir>,
        config: Arc<Config>,
        store: Store,
        world: Arc<Mutex<World>>,
        seen: mpsc::Receiver<Event>,
        living: Vec<Living>,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        tokio::spawn(obey(Arc::clone(&world), inbox));
        let next_launch = LaunchId(world.lock().unwrap().launches as u64);
        let beginning = Beginning {
            ground: Ground {
                folder: "/".into(),
                data_dir: folder.path().into(),
                run_dir: folder.path().join(".run"),
                environment: HostEnvironment::default(),
                layout: layout(&config, folder.path()),
                key_file: None,
            },
            config: Arc::clone(&config),
            warden: WardenHandle::new(commands),
            next_launch,
            living,
            known: store.all().await.unwrap(),
            store: store.clone(),
            keeper: keeper(folder.path()),
            logs: Logs::new(),
            files: OpenFiles(1 << 20),
        };
        let fleet = Fleet::start(beginning, seen);
        Self { fleet, folder, config, store, world }
    }

    /// The front dies and a new one takes over; tenants live on.
    pub(super) async fn front_dies(self) -> Self {
        let Self { fleet, folder, config, store, world } = self;
        let (events, seen) = mpsc::channel(64);
        let living = {
            let mut world = world.lock().unwrap();
            world.events = events;
            let of = |(launch, tenant): (&LaunchId, &Tenant)| Living {
                launch: *launch,
                note: tenant.note.clone(),
                running: tenant.runs.then(|| running(*launch)),
            };
            world.living.iter().map(of).collect()
        };
        drop(fleet);
        Self::begin(folder, config, store, world, seen, living).await
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(super) fn script(&self, script: Script) {
        self.world().script = script;
    }

    /// Until it is dropped, no data are moved to the end, however little time passes.
    pub(super) async fn read_data(&self) -> OwnedMutexGuard<()> {
        let reading = Arc::clone(&self.world().reading);
        reading.lock_owned().await
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.world().script.healthy = healthy;
    }

    pub(super) fn health_checks(&self) -> usize {
        self.world().health_checks
    }

    pub(super) fn launches(&self) -> usize {
        self.world().launches
    }

    /// Most processes that one instance ever had at one time.
    pub(super) fn most_at_once(&self) -> usize {
        self.world().most_at_once
    }

    /// The tenant ends by itself.
    pub(super) fn exit(&self, instance: &str, exit: Exit) {
        let launch = {
            let world = self.world();
            let mut all = world.living.iter();
            *all.find(|(_, tenant)| tenant.instance == instance).expect("it runs").0
        };
        tokio::spawn(end(Arc::clone(&self.world), launch, exit));
    }

    pub(super) fn state(&self, instance: &str) -> Option<State> {
        self.fleet.get(&name(instance)).map(|view| view.state)
    }

    pub(super) async fn reaches(&self, instance: &str, state: State) {
        self.until(&format!("{instance} is {state:?}"), |house| {
            house.state(instance) == Some(state)
        })
        .await;
    }

    /// Waits until a condition holds; fails after ten minutes of the paused clock.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(600), wait).await.is_err() {
            panic!("not so after ten minutes: {what}; {:#?}", self.fleet.list());
        }
    }

    pub(super) async fn stored(&self) -> Vec<KnownInstance> {
        self.store.all().await.unwrap()
    }
}

/// The warden: does as it is told.
async fn obey(world: Arc<Mutex<World>>, mut inbox: mpsc::UnboundedReceiver<ToWarden>) {
    while let Some(message) = inbox.recv().await {
        match message {
            ToWarden::Launch { launch, order, note } => {
                let name = Order::read(&order).unwrap().name.to_string();
                let script = {
                    let mut world = world.lock().unwrap();
                    let id = name.split(':').next_back().unwrap();
                    let socket = world.folder.join("api").join(id).join("s");
                    let instance = name.clone();
                    let tenant = Tenant { instance, note, socket, runs: false, serving: None };
                    world.living.insert(launch, tenant);
                    world.launches += 1;
                    let same = |tenant: &&Tenant| tenant.instance == name;
                    let at_once = world.living.values().filter(same).count();
                    world.most_at_once = world.most_at_once.max(at_once);
                    world.script
                };
                match script.moving_takes.is_zero() {
                    true => execute(&world, launch, script).await,
                    false => drop(tokio::spawn(prepare(Arc::clone(&world), launch, script))),
                }
            }
            ToWarden::Signal { launch, .. } => {
                let script = world.lock().unwrap().script;
                // Nobody hears it while data are moved.
                let runs = world.lock().unwrap().living.get(&launch).is_some_and(|it| it.runs);
                if runs && !script.ignores_signals {
                    let world = Arc::clone(&world);
                    tokio::spawn(async move {
                        sleep(script.stop_takes).await;
                        end(world, launch, Exit::Signal(15)).await;
                    });
                }
            }
            ToWarden::Kill { launch } => end(Arc::clone(&world), launch, Exit::Signal(9)).await,
            ToWarden::Seek { launch, wanted: true } => {
                tokio::spawn(find(Arc::clone(&world), launch));
            }
            // Who looks in vain looks until the end.
            ToWarden::Seek { wanted: false, .. } | ToWarden::Show | ToWarden::Farewell => {}
        }
    }
}

/// Looks for the socket of a tenant as long as that lives.
async fn find(world: Arc<Mutex<World>>, launch: LaunchId) {
    loop {
        let (socket, events) = {
            let world = world.lock().unwrap();
            let Some(tenant) = world.living.get(&launch) else { return };
            (tenant.socket.clone(), world.events.clone())
        };
        if let Ok(socket) = ten_kernel::reach_socket(&socket, None) {
            // The front may be gone.
            return drop(events.send(Event::Found { launch, socket }).await);
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// The time before a tenant is executed.
async fn prepare(world: Arc<Mutex<World>>, launch: LaunchId, script: Script) {
    tell(&world, Event::Preparing { launch }).await;
    let reading = Arc::clone(&world.lock().unwrap().reading);
    sleep(script.moving_takes).await;
    drop(reading.lock().await);
    if world.lock().unwrap().living.contains_key(&launch) {
        execute(&world, launch, script).await;
    }
}

async fn execute(world: &Arc<Mutex<World>>, launch: LaunchId, script: Script) {
    world.lock().unwrap().living.get_mut(&launch).expect("it lives").runs = true;
    tell(world, Event::Launched { launch, running: running(launch) }).await;
    tokio::spawn(live(Arc::clone(world), launch, script));
}

fn running(launch: LaunchId) -> Running {
    let pid = launch.0 as u32;
    Running { pid, cgroup: None, output: output(), door: door(), meter: None }
}

/// The front may be gone.
async fn tell(world: &Mutex<World>, event: Event) {
    let events = world.lock().unwrap().events.clone();
    let _ = events.send(event).await;
}

/// The life of one tenant.
async fn live(world: Arc<Mutex<World>>, launch: LaunchId, script: Script) {
    sleep(script.start_takes).await;
    if let Some(exit) = script.dies_at_once {
        return end(world, launch, exit).await;
    }
    let socket = world.lock().unwrap().living.get(&launch).map(|tenant| tenant.socket.clone());
    let Some(socket) = socket.filter(|_| script.listens) else { return };
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = tokio::spawn(serve(Arc::clone(&world), listener)).abort_handle();
    match world.lock().unwrap().living.get_mut(&launch) {
        Some(tenant) => tenant.serving = Some(serving),
        None => serving.abort(),
    }
}

/// Answers health checks.
async fn serve(world: Arc<Mutex<World>>, listener: UnixListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let status = if world.lock().unwrap().script.healthy { "200 OK" } else { "500 No" };
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            if stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                world.lock().unwrap().health_checks += 1;
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                // Whoever asked may have left.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
    }
}

async fn end(world: Arc<Mutex<World>>, launch: LaunchId, exit: Exit) {
    let Some(tenant) = world.lock().unwrap().living.remove(&launch) else { return };
    if let Some(serving) = tenant.serving {
        serving.abort();
        // It may have died before it bound.
        let _ = std::fs::remove_file(&tenant.socket);
    }
    let reason = "it was killed while it was being started".into();
    let event = match tenant.runs {
        true => Event::Exited { launch, exit },
        false => Event::LaunchFailed { launch, reason, disk_full: false },
    };
    tell(&world, event).await;
}

/// Whose folders are where below a folder.
pub(crate) fn layout(config: &Config, folder: &Path) -> Layout {
    Layout::of(config.services.values().map(AsRef::as_ref), &[folder]).unwrap()
}

/// Whoever moves the data below a folder.
pub(crate) fn keeper(folder: &Path) -> Keeper {
    let archiver = FrontCommand { program: "/nowhere".into(), argv: vec![] };
    let scratch = folder.join(".run/archives");
    let planner = Arc::new(Plans);
    let keeping = Keeping { data_dir: folder.into(), planner, scratch, archiver };
    Keeper::in_thread(&keeping).unwrap()
}

/// Nothing: nobody asks for a plan here.
#[derive(Debug)]
struct Plans;

impl ten_warden::Planner for Plans {
    fn plan(&self, _: &[u8]) -> Result<ten_warden::Planned, String> {
        Err("nothing is planned here".into())
    }

    fn why_not(&self, _: &[u8], _: &str) -> Option<String> {
        None
    }
}

/// A door that nobody keeps.
fn door() -> Door {
    OwnedFd::from(std::os::unix::net::UnixDatagram::unbound().unwrap()).into()
}

fn output() -> Output {
    let (stdout, _) = rustix::pipe::pipe().unwrap();
    let (stderr, _) = rustix::pipe::pipe().unwrap();
    Output { stdout, stderr }
}

pub(crate) fn spec() -> ServiceSpec {
    ServiceSpec {
        argv: vec![Template::literal("sh")],
        socket: Template::parse("{instance_dir}/s").unwrap(),
        startup_timeout: Duration::from_secs(10),
        restart: RestartPolicy::OnFailure,
        listen: Listen::Socket,
        max_instances: 1000,
        max_known: 10_000,
        stop_timeout: Duration::from_secs(5),
        ..ServiceSpec::plain("api")
    }
}

//! Random sequences of all that can happen to instances: no byte of theirs is lost. What an
//! operator gives up is in the trash; everything else is where it was written.
//!
//! `TEN_SEED=7 cargo nextest run -p ten-e2e never_lost` repeats the sequence of a failure.

mod killed;

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use ten_testkit::Ten;

use self::killed::Killing;
use crate::{
    quota,
    service::{PATIENCE, app, once},
};

/// Steps of one sequence.
const STEPS: usize = 60;
/// How many steps there are for each that is a command in the middle of which somebody is killed.
const KILLING_ONE_IN: usize = 16;
/// How long commands are begun in the middle of which somebody is killed.
const KILLINGS: Duration = Duration::from_secs(10);
/// And how many at least, on a machine that is busy.
const KILLINGS_LEAST: usize = 8;
const SETTINGS: &str = "[settings]\nbackoff_base_ms = 0\nmax_restarts = 1000\n";
const IDS: [&str; 3] = ["a", "b", "c"];

/// Files by name, with their text.
type Files = BTreeMap<String, String>;

/// What there must be.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Of each id.
    live: BTreeMap<&'static str, Files>,
    /// What was given up and has not come back, the oldest first.
    trash: Vec<(&'static str, Files)>,
    written: usize,
}

impl Model {
    fn give_up(&mut self, id: &'static str) {
        let given_up = self.live.remove(id);
        self.trash.extend(given_up.map(|files| (id, files)));
    }

    /// The newest of an id, if there is any.
    fn bring_back(&mut self, id: &'static str) {
        if let Some(newest) = self.trash.iter().rposition(|(of, _)| *of == id) {
            let (_, files) = self.trash.remove(newest);
            self.live.insert(id, files);
        }
    }
}

/// What there is, as far as it can be looked at from outside: what is in an image in the trash
/// cannot.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    live: BTreeMap<&'static str, Files>,
    trash: Vec<(String, Option<Files>)>,
}

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Folders,
    Images,
}

impl View {
    /// A killed warden leaves the empty images of who has nothing; the end of a run takes them.
    fn end_what_is_empty(self, ten: &Ten, model: &Model) {
        let empty = IDS.iter().filter(|id| !model.live.contains_key(**id));
        for id in empty.filter(|_| matches!(self, Self::Images)) {
            ten.cli(&["spawn", &format!("app:{id}")]);
            ten.cli(&["stop", &format!("app:{id}"), "--keep-data"]);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Write,
    Sleep,
    Crash,
    Restart,
    KillFront,
    KillServer,
    StopServer,
    Reload,
    StopKeeping,
    Stop,
    Remove,
    Restore,
}

/// The more often, the more likely.
const CHOICE: [Step; 16] = [
    Step::Write,
    Step::Write,
    Step::Write,
    Step::Write,
    Step::Sleep,
    Step::Crash,
    Step::Restart,
    Step::KillFront,
    Step::KillServer,
    Step::StopServer,
    Step::Reload,
    Step::StopKeeping,
    Step::Stop,
    Step::Remove,
    Step::Restore,
    Step::Restore,
];

/// Numbers that are as good as random, and the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end
    }
}

#[test]
fn no_sequence_of_events_loses_a_byte() {
    let config = app("", "idle_timeout = 0.3");
    sequence(&config, STEPS, View::Folders);
}

/// The same where the data are in images, which are looked into by their owners.
#[test]
fn no_sequence_of_events_loses_a_byte_in_an_image() {
    let Some(probe) = quota::start("storage_quota_mb = 8") else { return };
    drop(probe);
    let config = quota::config("storage_quota_mb = 8\nidle_timeout = 0.3");
    sequence(&config, STEPS / 2, View::Images);
}

/// Killed at random points of a command, not between them.
#[test]
fn no_command_that_is_killed_loses_a_byte() {
    killings(&app("", ""), View::Folders);
}

#[test]
fn no_command_that_is_killed_loses_a_byte_in_an_image() {
    let Some(probe) = quota::start("storage_quota_mb = 8") else { return };
    drop(probe);
    killings(&quota::config("storage_quota_mb = 8"), View::Images);
}

fn random() -> (u64, Random) {
    let seed = std::env::var("TEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("TEN_SEED={seed}");
    (seed, Random(seed))
}

fn sequence(config: &str, steps_wanted: usize, view: View) {
    let (seed, mut random) = random();
    let mut ten = Ten::with_config(&(SETTINGS.to_owned() + config)).start();
    let mut model = Model::default();
    let mut steps = Vec::new();
    for _ in 0..steps_wanted {
        let id = IDS[random.below(IDS.len())];
        if random.below(KILLING_ONE_IN) == 0 {
            let killing = Killing::any(&mut random);
            steps.push(format!("{killing:?} {id}"));
            let so_far = format!("TEN_SEED={seed} {steps:?}");
            killing.happen(id, &mut ten, &mut model, view, &so_far);
            view.end_what_is_empty(&ten, &model);
            continue;
        }
        let step = CHOICE[random.below(CHOICE.len())];
        steps.push(format!("{step:?} {id}"));
        let so_far = format!("TEN_SEED={seed} {steps:?}");
        take(step, id, &mut ten, &mut model);
        if matches!(step, Step::KillServer) {
            view.end_what_is_empty(&ten, &model);
        }
        assert_eq!(view.of(&ten, &[&model]), view.wanted(&model), "{so_far}");
    }
}

/// Nothing else, and as often as time allows.
fn killings(config: &str, view: View) {
    let (seed, mut random) = random();
    let mut ten = Ten::with_config(&(SETTINGS.to_owned() + config)).start();
    let mut model = Model::default();
    let (mut done, mut whole) = (Vec::new(), 0);
    let began = Instant::now();
    while done.len() < KILLINGS_LEAST || began.elapsed() < KILLINGS {
        let id = IDS[random.below(IDS.len())];
        // There is always something to lose, and the instance runs.
        write(id, &ten, &mut model);
        let killing = Killing::any(&mut random);
        done.push((killing, id));
        let so_far = format!("TEN_SEED={seed} {done:?}");
        whole += usize::from(killing.happen(id, &mut ten, &mut model, view, &so_far));
    }
    println!("{} commands, {whole} of them to their end", done.len());
}

fn take(step: Step, id: &'static str, ten: &mut Ten, model: &mut Model) {
    let name = format!("app:{id}");
    match step {
        Step::Write => write(id, ten, model),
        Step::Sleep => ten.wait_until("it sleeps", PATIENCE, || {
            let list = ten.cli_json(&["ps", "-a", "--json"]);
            let all = list["instances"].as_array().unwrap();
            all.iter().all(|i| i["instance"] != *name || i["state"] == "sleeping")
        }),
        Step::Crash => {
            write(id, ten, model);
            // It dies under this request, whose answer says no more than that.
            let _ = ten.send(&once(&format!("{id}.app.localhost"), "/abort"));
        }
        Step::Restart => drop(ten.cli(&["restart", &name])),
        Step::KillFront => {
            let front = ten.front().expect("a front");
            ten.signal(front, Signal::KILL);
            ten.wait_until("another front", PATIENCE, || {
                ten.front().is_some_and(|next| next != front)
            });
        }
        Step::KillServer => {
            ten.kill_warden();
            ten.start();
        }
        Step::StopServer => {
            ten.stop();
            ten.start();
        }
        Step::Reload => ten.signal(ten.warden(), Signal::HUP),
        // Refused where nobody has ever heard of the instance.
        Step::StopKeeping => drop(ten.cli(&["stop", "--keep-data", &name])),
        Step::Stop | Step::Remove => {
            let verb = if matches!(step, Step::Stop) { "stop" } else { "rm" };
            let known = ten.cli(&["ps", "-a"]).stdout.contains(&name);
            let ended = ten.cli(&[verb, &name]);
            assert_eq!(ended.code, Some(i32::from(!known)), "{ended:?}");
            if known {
                model.give_up(id);
            }
        }
        Step::Restore => restore(id, ten, model),
    }
}

fn write(id: &'static str, ten: &Ten, model: &mut Model) {
    model.written += 1;
    let (file, text) = (format!("file-{}", model.written), format!("text-{}", model.written));
    let path = folder(ten, id).join(&file);
    let request = format!("/write?path={}&text={text}", path.display());
    let answer = ten.get(&format!("{id}.app.localhost"), &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    model.live.entry(id).or_default().insert(file, text);
}

fn restore(id: &'static str, ten: &Ten, model: &mut Model) {
    let restored = ten.cli(&["restore", &format!("app:{id}")]);
    if restored.code == Some(0) {
        assert!(!model.live.contains_key(id), "over other data: {restored:?}");
        assert!(model.trash.iter().any(|(of, _)| *of == id), "from nowhere: {restored:?}");
        return model.bring_back(id);
    }
    // It runs, or has data.
    assert_eq!(restored.code, Some(1), "{restored:?}");
}

fn folder(ten: &Ten, id: &str) -> PathBuf {
    ten.data_dir().join("app").join(id)
}

impl View {
    /// What a model says that there must be.
    fn wanted(self, model: &Model) -> Seen {
        let entry = |(id, files): &(&str, Files)| {
            (format!("app:{id}"), (self == Self::Folders).then(|| files.clone()))
        };
        Seen { live: model.live.clone(), trash: model.trash.iter().map(entry).collect() }
    }

    /// What there is. In images, only what one of these models has is looked for.
    fn of(self, ten: &Ten, models: &[&Model]) -> Seen {
        let live = |id: &'static str| {
            let in_folder = files(&folder(ten, id));
            let files = match self {
                Self::Folders => in_folder,
                Self::Images => {
                    assert_eq!(in_folder, Files::new(), "outside of its image");
                    let of = |model: &&Model| model.live.get(id).cloned().unwrap_or_default();
                    let wanted: Files = models.iter().flat_map(of).collect();
                    wanted.into_keys().filter_map(|file| read(ten, id, file)).collect()
                }
            };
            (!files.is_empty()).then_some((id, files))
        };
        let trash = match self {
            Self::Folders => trash_folders(ten),
            Self::Images => trash_list(ten),
        };
        Seen { live: IDS.into_iter().filter_map(live).collect(), trash }
    }
}

/// A file in an image, and its text, if it is there.
fn read(ten: &Ten, id: &str, file: String) -> Option<(String, String)> {
    let path = format!("/read?path={}", folder(ten, id).join(&file).display());
    let answer = ten.get(&format!("{id}.app.localhost"), &path);
    match (answer.status, answer.text()) {
        (200, text) => Some((file, text)),
        (403, text) if text.contains("No such file") => None,
        (status, text) => panic!("{file} of {id}: {status} {text}"),
    }
}

fn trash_list(ten: &Ten) -> Vec<(String, Option<Files>)> {
    let list = ten.cli_json(&["restore", "--list", "--json"]);
    let mut trash: Vec<_> = list["trash"].as_array().unwrap().iter().collect();
    trash.sort_by_key(|entry| entry["at"].as_str().unwrap().to_owned());
    trash.iter().map(|entry| (entry["instance"].as_str().unwrap().to_owned(), None)).collect()
}

fn trash_folders(ten: &Ten) -> Vec<(String, Option<Files>)> {
    let entries = fs::read_dir(ten.data_dir().join(".trash")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What is whole. Of the rest nothing may be missed, or a model would not hold.
    let names = names.filter(|name| !name.starts_with('.'));
    let mut entries: Vec<(String, String)> = names
        .map(|name| name.rsplit_once('@').map(|(of, at)| (at.to_owned(), of.to_owned())).unwrap())
        .collect();
    entries.sort();
    let folder = |at: &str, of: &str| ten.data_dir().join(".trash").join(format!("{of}@{at}"));
    let entries = entries.into_iter().map(|(at, of)| (files(&folder(&at, &of).join("0")), of));
    // Nothing is left where somebody was killed right after having put it back.
    entries.filter(|(files, _)| !files.is_empty()).map(|(files, of)| (of, Some(files))).collect()
}

/// The files in a folder but sockets; none where there is no folder.
fn files(folder: &Path) -> Files {
    let Ok(entries) = fs::read_dir(folder) else { return Files::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

//! Random sequences of all that can happen to instances: no byte of theirs is lost. What an
//! operator gives up is in the trash; everything else is where it was written.
//!
//! `TEN_SEED=7 cargo nextest run -p ten-e2e never_lost` repeats the sequence of a failure.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use ten_testkit::Ten;

use crate::{
    quota,
    service::{PATIENCE, app, once},
};

/// Steps of one sequence.
const STEPS: usize = 60;
const SETTINGS: &str = "[settings]\nbackoff_base_ms = 0\nmax_restarts = 1000\n";
const IDS: [&str; 3] = ["a", "b", "c"];

/// Files by name, with their text.
type Files = BTreeMap<String, String>;

/// What there must be.
#[derive(Default)]
struct Model {
    /// Of each id.
    live: BTreeMap<&'static str, Files>,
    /// What was given up and has not come back, the oldest first.
    trash: Vec<(&'static str, Files)>,
    written: usize,
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
    sequence(&config, STEPS, check);
}

/// The same where the data are in images, which are looked into by their owners.
#[test]
fn no_sequence_of_events_loses_a_byte_in_an_image() {
    let Some(probe) = quota::start("storage_quota_mb = 8") else { return };
    drop(probe);
    let config = quota::config("storage_quota_mb = 8\nidle_timeout = 0.3");
    sequence(&config, STEPS / 2, check_images);
}

fn sequence(config: &str, steps_wanted: usize, check: fn(&Ten, &Model, &str)) {
    let seed = std::env::var("TEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("TEN_SEED={seed}");
    let mut random = Random(seed);
    let mut ten = Ten::with_config(&(SETTINGS.to_owned() + config)).start();
    let mut model = Model::default();
    let mut steps = Vec::new();
    for _ in 0..steps_wanted {
        let (step, id) = (CHOICE[random.below(CHOICE.len())], IDS[random.below(IDS.len())]);
        steps.push((step, id));
        take(step, id, &mut ten, &mut model);
        check(&ten, &model, &format!("TEN_SEED={seed} {steps:?}"));
    }
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
            if known && let Some(files) = model.live.remove(id) {
                model.trash.push((id, files));
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
    let newest = model.trash.iter().rposition(|(of, _)| *of == id);
    match newest {
        Some(newest) if restored.code == Some(0) => {
            assert!(!model.live.contains_key(id), "over other data: {restored:?}");
            let (_, files) = model.trash.remove(newest);
            model.live.insert(id, files);
        }
        // It runs, or has data.
        _ => assert_eq!(restored.code, Some(1), "{restored:?}"),
    }
}

fn folder(ten: &Ten, id: &str) -> PathBuf {
    ten.data_dir().join("app").join(id)
}

fn check_images(ten: &Ten, model: &Model, so_far: &str) {
    for (id, files) in &model.live {
        for (file, text) in files {
            let path = format!("/read?path={}", folder(ten, id).join(file).display());
            let answer = ten.get(&format!("{id}.app.localhost"), &path);
            assert_eq!((answer.status, &answer.text()), (200, text), "{id}: {so_far}");
        }
        assert_eq!(self::files(&folder(ten, id)), Files::new(), "outside of it: {so_far}");
    }
    let list = ten.cli_json(&["restore", "--list", "--json"]);
    let mut trash: Vec<_> = list["trash"].as_array().unwrap().iter().collect();
    trash.sort_by_key(|entry| entry["at"].as_str().unwrap().to_owned());
    let names: Vec<_> = trash.iter().map(|entry| entry["instance"].as_str().unwrap()).collect();
    let wanted: Vec<_> = model.trash.iter().map(|(id, _)| format!("app:{id}")).collect();
    assert_eq!(names, wanted, "{so_far}");
}

fn check(ten: &Ten, model: &Model, so_far: &str) {
    for id in IDS {
        let wanted = model.live.get(id).cloned().unwrap_or_default();
        assert_eq!(files(&folder(ten, id)), wanted, "{id}: {so_far}");
    }
    let entries = fs::read_dir(ten.data_dir().join(".trash")).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // By time, which ends their names.
    entries.sort_by_key(|path| path.to_str().unwrap().rsplit_once('@').unwrap().1.to_owned());
    let trash: Vec<Files> = entries.iter().map(|entry| files(&entry.join("0"))).collect();
    let wanted: Vec<Files> = model.trash.iter().map(|(_, files)| files.clone()).collect();
    assert_eq!(trash, wanted, "{so_far}");
}

/// The files in a folder but sockets; none where there is no folder.
fn files(folder: &Path) -> Files {
    let Ok(entries) = fs::read_dir(folder) else { return Files::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

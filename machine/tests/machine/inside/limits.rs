//! What one tenant may use, and that nobody else notices when it wants more.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use ten_testkit::{Ten, wait_until};

use super::cgroups::{cpu_time, leaf, number, read};

/// Longer than anything here takes in a machine that is interpreted.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it is measured how long others wait, each time with a fork bomb and without.
const ROUNDS: usize = 5;

/// How many times as long they may wait, on the one CPU that there is, half of which is the bomb's.
const SLOWER_MOST: f64 = 5.0;

/// A tenant that listens nowhere, with some limits.
fn worker(name: &str, kind: &str, limits: &str) -> String {
    format!(
        "[service.{name}]\ncommand = \"/bin/machine tenant {kind}\"\nlisten = \"none\"\n\
         restart = \"never\"\nstop_timeout = 0.2\n{limits}\n"
    )
}

/// One that answers requests.
fn app(more: &str) -> String {
    format!(
        "[service.app]\ncommand = \"@tenant\"\nsocket = \"{{instance_dir}}/s\"\n\
         stop_timeout = 0.2\n{more}\n"
    )
}

fn health(ten: &Ten, instance: &str) -> serde_json::Value {
    ten.cli_json(&["health", instance, "--json"])
}

fn spawn(ten: &Ten, instance: &str) {
    let output = ten.cli(&["spawn", instance]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

pub(super) fn a_memory_hog_dies_alone() {
    let limits = "memory_limit_mb = 48\nmemory_swap_max_mb = 0\nisolation = ";
    let config = worker("walled", "hog", &format!("{limits}\"namespace\""))
        + &worker("bare", "hog", &format!("{limits}\"process\""))
        + &app("");
    let ten = Ten::with_config(&config).start();
    let pid = ten.get("a.app.localhost", "/pid").text();
    for hog in ["walled:a", "bare:a"] {
        spawn(&ten, hog);
        let mut said = serde_json::Value::Null;
        let reported = wait_until(PATIENCE, || {
            said = health(&ten, hog)["last_failure"].clone();
            said.is_string()
        });
        assert!(reported, "{hog} is still there");
        assert_eq!(said, "killed: out of memory (memory_limit_mb = 48)");
        assert_eq!(ten.processes_of(hog), []);
    }
    assert_eq!(ten.get("a.app.localhost", "/pid").text(), pid, "another tenant was hit");
}

/// The time for some requests to who is awake, and for one that wakes another.
fn served(ten: &Ten, sleeping: &str) -> Duration {
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(ten.get("a.app.localhost", "/").status, 200);
    }
    assert_eq!(ten.get(&format!("{sleeping}.app.localhost"), "/").status, 200, "it wakes");
    began.elapsed()
}

pub(super) fn a_fork_bomb_stops_at_its_limit() {
    let ten = Ten::with_config(&(worker("bomb", "bomb", "pids_limit = 24") + &app(""))).start();
    ten.get("a.app.localhost", "/");
    spawn(&ten, "bomb:a");
    let bomb = leaf("bomb:a");
    assert_eq!(read(&bomb, "pids.max"), "25", "its own and ten's init");
    ten.wait_until("the bomb has gone off", PATIENCE, || number(&bomb, "pids.events", "max ") > 9);
    assert_eq!(read(&bomb, "pids.current"), "25");
    let freeze = |frozen: u64| {
        fs::write(bomb.join("cgroup.freeze"), frozen.to_string()).expect("root may");
        let is_so = || number(&bomb, "cgroup.events", "frozen ") == frozen;
        ten.wait_until("it is frozen, or not", PATIENCE, is_so);
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    // In turn, for the host of this machine is not as fast at any time.
    for round in 0..ROUNDS {
        freeze(1);
        alone.push(served(&ten, &format!("alone{round}")));
        freeze(0);
        beside.push(served(&ten, &format!("beside{round}")));
    }
    let [alone, beside] = [alone, beside].map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    println!("served within {alone:?} alone, within {beside:?} beside the bomb");
    let slower = beside.as_secs_f64() / alone.as_secs_f64();
    assert!(slower < SLOWER_MOST, "{slower:.1} times slower beside the bomb");
    assert_eq!(read(&bomb, "pids.current"), "25");
    assert_eq!(ten.cli(&["stop", "bomb:a"]).code, Some(0));
    assert_eq!(ten.processes_of("bomb:a"), []);
    assert!(!bomb.exists());
}

pub(super) fn cpu_max_holds() {
    let ten = Ten::with_config(&worker("burner", "burner", "cpu_max_percent = 40")).start();
    spawn(&ten, "burner:a");
    let burner = leaf("burner:a");
    let periods = || number(&burner, "cpu.stat", "nr_periods ");
    // From the end of a period to the end of another.
    let first = periods();
    ten.wait_until("a period begins", PATIENCE, || periods() > first);
    let (began, before, from) = (Instant::now(), cpu_time(&burner), periods());
    ten.wait_until("two seconds have passed", PATIENCE, || periods() >= from + 20);
    let used = cpu_time(&burner) - before;
    let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
    println!("used {used:?} of {:?}", began.elapsed());
    assert!((0.34..=0.46).contains(&share), "{share:.3} of a CPU instead of 0.40");
}

pub(super) fn cpu_shares_divide_a_busy_cpu() {
    let config = worker("poor", "burner", "cpu_shares = 100")
        + &worker("rich", "burner", "cpu_shares = 300");
    let ten = Ten::with_config(&config).start();
    ["poor:a", "rich:a"].iter().for_each(|name| spawn(&ten, name));
    let used = || [leaf("poor:a"), leaf("rich:a")].map(|leaf| cpu_time(&leaf));
    let before = used();
    let since = || {
        let now = used();
        [now[0] - before[0], now[1] - before[1]]
    };
    ten.wait_until("both have used two seconds", PATIENCE, || {
        since().iter().sum::<Duration>() > Duration::from_secs(2)
    });
    let [poor, rich] = since();
    println!("poor {poor:?}, rich {rich:?}");
    let ratio = rich.as_secs_f64() / poor.as_secs_f64();
    assert!((2.5..=3.5).contains(&ratio), "{ratio:.2} times as much instead of 3");
}

pub(super) fn limits_survive_every_restart() {
    let limits = "memory_limit_mb = 64\nmemory_swap_max_mb = 0\ncpu_shares = 300\n\
                  cpu_max_percent = 150\npids_limit = 33\nio_weight = 50\nrestart = \"always\"";
    let settings = "[settings]\nbackoff_base_ms = 0\n";
    let ten = Ten::with_config(&(settings.to_owned() + &app(limits))).start();
    let pid = || ten.cli_json(&["ps", "--all", "--json"])["instances"][0]["pid"].as_u64();
    let hold = || {
        let leaf = leaf("app:a");
        for (file, value) in [
            ("memory.max", "67108864"),
            ("memory.oom.group", "1"),
            ("cpu.weight", "300"),
            ("cpu.max", "150000 100000"),
            ("pids.max", "34"),
            ("io.weight", "default 50"),
        ] {
            assert_eq!(read(&leaf, file), value, "{file}");
        }
    };
    ten.get("a.app.localhost", "/");
    let memory = &ten.cli_json(&["ps", "--json"])["instances"][0]["memory_bytes"];
    assert!(memory.as_u64().is_some_and(|bytes| bytes > 0 && bytes < 64 << 20), "{memory}");
    let first = pid().expect("it runs");
    hold();
    assert_eq!(ten.cli(&["restart", "app:a"]).code, Some(0));
    let second = pid().expect("it runs");
    assert_ne!(first, second);
    hold();
    ten.signal(u32::try_from(second).expect("a pid"), Signal::KILL);
    ten.wait_until("it is back", PATIENCE, || pid().is_some_and(|pid| pid != second));
    hold();
}

pub(super) fn a_leaf_dies_with_its_tree() {
    for level in ["process", "namespace"] {
        let ten = Ten::with_config(&app(&format!("isolation = \"{level}\""))).start();
        for kind in ["stubborn", "setsid", "daemon", "stopped"] {
            assert_eq!(ten.get("a.app.localhost", &format!("/fork?kind={kind}")).status, 200);
        }
        let leaf = leaf("app:a");
        assert!(number(&leaf, "pids.current", "") >= 6, "{}", read(&leaf, "pids.current"));
        assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
        assert_eq!(ten.processes_of("app:a"), []);
        assert!(!leaf.exists(), "{level}");
    }
}

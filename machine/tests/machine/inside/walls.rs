//! The attempts of `e2e/tests/e2e/walls_matrix.rs` with the kernel that most servers have: older,
//! with modules and /proc/kcore, and with all controllers in one hierarchy of cgroups. What differs
//! is known, and told by `ten doctor` and at each start. Where the table has to change, a run that
//! fails says what it is now; whoever copies it judges it.

use std::{fs, os::unix::fs::symlink};

use ten_testkit::{
    Ten,
    probe::{self, Matrix, Outside},
};

const EXPECTED: &str = include_str!("walls/expected.txt");
/// As in the other table, title and service being the same here.
const COLUMNS: [(&str, &str); 4] = [
    ("process", "isolation = \"process\""),
    ("root", ""),
    ("none", "network = \"none\""),
    ("private", "network = \"private\"\nnameservers = []"),
];

pub(super) fn nobody_gets_further_than_the_table_says() {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    // What any host has, and this one's first process has not made.
    symlink("/proc/self/fd/1", "/dev/stdout").unwrap();
    fs::create_dir("/dev/shm").unwrap();
    let outside = Outside::open();
    let service = |(name, keys): (&str, &str)| {
        // Starting an interpreter takes an interpreted processor seconds.
        probe::service(name, &format!("startup_timeout = 30\n{keys}"), &outside.env())
    };
    let mut ten = Ten::with_config(&COLUMNS.map(service).concat()).prepare();
    probe::place(ten.config_path().parent().unwrap());
    ten.start();
    assert_eq!(ten.cli(&["token-gen"]).code, Some(0));
    let columns = COLUMNS.map(|(name, _)| {
        let ask = |id: &str, question: &str| {
            let answer = ten.get(&format!("{id}.{name}.localhost"), question);
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            answer.text()
        };
        assert_eq!(ask(probe::NEIGHBOUR, "/"), "here");
        let question = probe::question(ten.address().port(), &ten.data_dir(), name, ten.warden());
        ask("a", &format!("/?{question}"))
    });
    let found = Matrix::new(&columns);
    let table = found.table(&COLUMNS.map(|(name, _)| name));
    let differences = found.differences(EXPECTED);
    assert!(differences.is_empty(), "{differences:#?}\n{table}");
    println!("these show nothing here: {}", found.unproven().join(", "));
    what_is_open_is_said(&ten);
    drop(ten);
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
}

/// Linux 6.12 has the only wall for abstract sockets of a shared network.
fn what_is_open_is_said(ten: &Ten) {
    let doctor = ten.cli(&["doctor", "--port", "0"]).stdout;
    assert!(doctor.contains("missing  abstract sockets"), "{doctor}");
    assert!(doctor.contains("network = \"host\" (root) reach"), "{doctor}");
    let told = "leaves the abstract Unix sockets of instances open to each other";
    assert!(ten.server_lines().iter().any(|line| line.contains(told)), "not said at the start");
}

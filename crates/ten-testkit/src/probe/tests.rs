use super::*;

const TITLES: [&str; 3] = ["control", "one", "other one"];

fn matrix(cells: [&str; 3]) -> Matrix {
    let said = cells.map(|cell| format!("mount\t{cell}\nlist /root\tabsent\n"));
    Matrix::new(&said)
}

#[test]
fn a_table_says_what_was_found_and_is_read_again() {
    let found = matrix(["allowed", "denied", "absent"]);
    let table = found.table(&TITLES);
    assert!(table.contains("\nmount   "), "{table}");
    assert!(table.ends_with("absent          absent\n"), "{table}");
    assert_eq!(found.differences(&table), [""; 0]);
    assert_eq!(found.unproven(), ["list /root"]);
}

#[test]
fn whoever_comes_further_is_named() {
    let table = matrix(["allowed", "denied", "denied"]).table(&TITLES);
    assert_eq!(matrix(["denied", "denied", "denied"]).differences(&table), [""; 0]);
    for cells in [
        ["allowed", "denied", "allowed"],
        ["allowed", "denied", "absent"],
        ["absent", "allowed", "absent"],
    ] {
        assert_eq!(matrix(cells).differences(&table).len(), 1, "{cells:?}");
    }
    // What a host does not have is neither here nor there.
    assert_eq!(matrix(["absent", "absent", "absent"]).differences(&table), [""; 0]);
    let refused = matrix(["denied", "denied", "denied"]).table(&TITLES);
    assert_eq!(matrix(["allowed", "denied", "denied"]).differences(&refused).len(), 1);
}

#[test]
fn cgroups_are_in_sight_where_the_host_mounts_them_so() {
    let matrix = |cell: &str| {
        let columns = ["allowed", cell].map(|cell| format!("cgroups: write x\t{cell}"));
        Matrix::new(&columns)
    };
    let table = matrix("absent").table(&TITLES[..2]);
    assert_eq!(matrix("denied").differences(&table), [""; 0]);
    assert_eq!(matrix("allowed").differences(&table).len(), 1);
}

#[test]
fn facts_are_the_same_without_walls_too() {
    let table = matrix(["1 0", "1 2", "1 2"]).table(&TITLES);
    assert_eq!(matrix(["1 0", "1 2", "1 2"]).differences(&table), [""; 0]);
    assert_eq!(matrix(["0 0", "1 2", "1 2"]).differences(&table).len(), 1);
}

#[test]
fn every_attempt_is_in_the_table_and_every_row_is_tried() {
    let table = matrix(["allowed", "denied", "denied"]).table(&TITLES);
    let other = Matrix::new(&["unmount\tallowed".into(), "unmount\tdenied".into()]);
    assert_eq!(other.differences(&table).len(), 3);
}

use std::net::TcpListener;

use super::*;

fn find<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no {name}: {checks:?}"))
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let name = format!("port {}", address.port());
    let taken = network::checks(&[address], None, None);
    let taken = find(&taken, &name);
    assert!(taken.is_lacking(), "{taken:?}");
    assert!(taken.detail.contains(&format!("pid {}", std::process::id())), "{taken:?}");
    // The same listener, as the running server's.
    let own = network::checks(&[address], None, Some(std::process::id()));
    assert_eq!(find(&own, &name).verdict, Verdict::Works);
    drop(listener);
    assert_eq!(find(&network::checks(&[address], None, None), &name).verdict, Verdict::Works);
}

#[test]
fn a_data_folder_is_there_or_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let verdict = |path: &Path| find(&storage::checks(Services(None), path), "data_dir").clone();
    assert_eq!(verdict(folder.path()).verdict, Verdict::Works);
    assert_eq!(verdict(&folder.path().join("a/b")).verdict, Verdict::Works);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(verdict(&file).is_lacking());
}

#[test]
fn open_abstract_sockets_are_not_ok() {
    let open = isolation::abstract_sockets(false, Some("api".into()));
    let Verdict::Missing { fix: Some(fix), needed_by: None } = &open.verdict else {
        panic!("{open:?}")
    };
    assert!(open.detail.contains("(api)"), "{open:?}");
    assert!(fix.contains("6.12") && fix.contains("network = \"private\""), "{fix}");
    assert_eq!(isolation::abstract_sockets(true, None).verdict, Verdict::Works);
}

#[test]
fn only_what_somebody_asks_for_is_lacking() {
    let check = Check::missing("x", "y").fix("z");
    assert!(!check.is_lacking());
    let needed = check.needed_by(Some("api".into()));
    assert!(needed.is_lacking());
    assert!(!Check::works("x", "y").needed_by(Some("api".into())).is_lacking());
    assert_eq!(Services(None).that(|_| true), None);
}

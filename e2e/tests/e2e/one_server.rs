//! A data folder has one server.

use ten_testkit::Ten;

use crate::service::app;

#[test]
fn a_second_server_on_the_same_folder_says_so_and_exits() {
    let ten = Ten::with_config(&app("", "")).start();
    ten.get("a.app.localhost", "/");
    let second = ten.cli(&["serve", "--port", "0"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    let (pid, folder) = (ten.warden().to_string(), ten.data_dir().display().to_string());
    for fact in ["another ten", &pid, &folder] {
        assert!(second.stderr.contains(fact), "{fact} is missing: {}", second.stderr);
    }
    assert_eq!(ten.get("a.app.localhost", "/count").text(), "2", "the first is untouched");
}

#[test]
fn an_address_in_use_is_said_so() {
    let ten = Ten::with_config(&app("", "")).start();
    let port = ten.address().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other").display().to_string();
    let second = ten.cli(&["--data-dir", &other, "serve", "--port", &port]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains(&format!("127.0.0.1:{port}")), "{}", second.stderr);
}

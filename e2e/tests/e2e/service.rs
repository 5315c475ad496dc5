//! Configs of the cases.

use std::time::Duration;

use ten_testkit::http::Request;

/// How long a case waits for something before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Every level that this host must provide.
pub(crate) const LEVELS: [&str; 2] = ["process", "namespace"];

/// A service `app` that runs the tenant with these arguments, and with these further keys.
pub(crate) fn app(args: &str, keys: &str) -> String {
    named("app", args, keys)
}

/// The same under another name.
pub(crate) fn named(name: &str, args: &str, keys: &str) -> String {
    format!(
        "[service.{name}]\ncommand = \"@tenant {args}\"\nsocket = \"{{instance_dir}}/s\"\n{keys}\n"
    )
}

/// A request that is never sent twice, for what ends the tenant.
pub(crate) fn once(host: &str, path: &str) -> Request {
    Request::post(host, path, "")
}

/// Whether a test that takes root can go on; says so where it cannot.
pub(crate) fn has_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIP this takes root");
    }
    root
}

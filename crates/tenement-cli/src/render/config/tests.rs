//! What `ten config show` prints.

use std::path::Path;

use serde_json::Value;
use ten_config::{Source, parse};
use ten_domain::Config;

use super::{show, show_json};

/// A config that gives every key that is built.
const FULL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ten-config/tests/good/full.toml");

fn lookup(name: &str) -> Option<String> {
    matches!(name, "TENEMENT_ROOT" | "GREETING").then(|| "given".to_owned())
}

fn full() -> Config {
    parse(&Source::read(Path::new(FULL)).unwrap(), &lookup).unwrap()
}

fn config(text: &str) -> Config {
    let source = Source::from_text(Path::new("/srv/tenement.toml"), text).unwrap();
    parse(&source, &lookup).unwrap()
}

/// Keys of a table of the schema that are built.
fn keys(table: &Value) -> impl Iterator<Item = &str> {
    let keys = table["properties"].as_object().unwrap().iter();
    let spelling = |key: &Value| key["description"].as_str().unwrap().starts_with("The same as");
    keys.filter(move |(_, key)| key.get("not").is_none() && !spelling(key)).map(|(name, _)| &**name)
}

#[test]
fn no_key_is_missing() {
    // What they said is in `health_interval` and in `env`; the others have one value only.
    const ELSEWHERE: [&str; 3] = ["health_check_interval", "env_file", "idle_action"];
    let schema = &ten_config::schema()["properties"];
    let (settings, service) = (&schema["settings"], &schema["service"]["additionalProperties"]);
    let shown = show_json(Path::new(FULL), &full());
    let services = || shown["service"].as_object().unwrap().values();
    for key in keys(settings).filter(|key| !ELSEWHERE.contains(key)) {
        assert!(shown["settings"].get(key).is_some(), "settings.{key}");
    }
    for key in keys(&settings["properties"]["proxy"]) {
        assert!(shown["settings"]["proxy"].get(key).is_some(), "settings.proxy.{key}");
    }
    for key in keys(&settings["properties"]["tls"]) {
        assert!(shown["settings"]["tls"].get(key).is_some(), "settings.tls.{key}");
    }
    for key in keys(service).filter(|key| !ELSEWHERE.contains(key)) {
        assert!(services().any(|service| service.get(key).is_some()), "service.{key}");
    }
    for key in keys(&service["properties"]["asleep"]) {
        let has = |service: &Value| service["asleep"].get(key).is_some();
        assert!(services().any(has), "service.asleep.{key}");
    }
}

#[test]
fn programs_read_it_in_the_shape_and_units_of_the_file() {
    let shown = show_json(Path::new("tenement.toml"), &full());
    let api = &shown["service"]["api"];
    assert_eq!(shown["path"], "tenement.toml");
    assert_eq!(shown["settings"]["proxy"]["idle_timeout"], 7.5);
    assert_eq!(shown["settings"]["trusted_proxies"], serde_json::json!(["10.0.0.0/8", "::1/128"]));
    assert_eq!((&api["idle_timeout"], &api["startup_timeout"]), (&0.25.into(), &20.into()));
    assert_eq!(api["request_timeout"], 0);
    assert_eq!(api["asleep"]["paths"]["/status"], 204);
    assert_eq!(shown["instances"]["web"], serde_json::json!(["b", "a"]));
    assert_eq!(shown["routing"]["subdomain"]["admin"], "api");
    assert!(!shown.to_string().contains("not a template"), "a value of the environment");
}

#[test]
fn people_read_what_matters_and_nothing_that_is_empty() {
    let config = config(
        r#"
[settings]
trusted_proxies = ["::1"]

[service.api]
command = "uv run 'my app.py' --port {port}"
health = "/health"
idle_timeout = 300
env = { SECRET = "hidden" }

[service.api.asleep]
robots = "User-agent: *\nDisallow: /\n"
paths = { "/status" = 204 }

[instances]
api = ["prod", "test"]

[routing.path]
"/" = "api"
"#,
    );
    assert_eq!(show(Path::new("tenement.toml"), &config), SHOWN);
}

const SHOWN: &str = r#"# tenement.toml

[settings]
data_dir                   /var/lib/tenement
max_restarts               3
restart_window             300s
backoff_base_ms            1000
backoff_max_ms             60000
trash_retention            86400s
trusted_proxies            ::1/128
proxy_protocol             false
access_log                 off

[settings.proxy]
head_timeout               10s
idle_timeout               75s
body_timeout               60s
min_body_rate              240
max_head_bytes             65536
max_headers                100
max_connections            10000
max_connections_per_ip     2000
max_streams                100
max_useless_frames         1000
useless_frames_per_second  100
max_new_instances_per_ip   60
drain_timeout              10s

[service.api]
command                    uv
args                       run "my app.py" --port {port}
workdir                    /srv
socket                     /tmp/tenement/{name}-{id}.sock
env                        SECRET
listen                     auto
protocol                   http1
health                     /health
health_interval            10s
health_timeout             5s
request_timeout            60s
max_concurrency            1000
queue_limit                1000
queue_timeout              10s
on_demand                  any
startup_timeout            10s
waking_page                false
idle_timeout               300s
restart                    on-failure
stop_signal                SIGTERM
stop_timeout               10s
max_instances              1000
max_known                  10000
isolation                  namespace
network                    host
pids_limit                 512
storage_persist            false

[service.api.asleep]
health                     false
robots                     User-agent: *␊Disallow: /␊
favicon                    false

[service.api.asleep.paths]
/status                    204

[instances]
api                        prod test

[routing.path]
/                          api
"#;

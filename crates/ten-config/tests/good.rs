//! What valid configs mean, and that nothing whatever makes parsing panic.

use std::{collections::BTreeMap, path::Path, time::Duration};

use proptest::prelude::*;
use ten_config::{ConfigErrors, Source, parse};
use ten_domain::{
    AccessLog, Asleep, Backoff, Bind, Concurrency, Config, CrashLimit, EnvPattern, HealthCheck,
    Isolation, Listen, Network, OnDemand, Protocol, ProxySettings, ResourceLimits, RestartPolicy,
    Routing, Settings, StopSignal, Template, TlsSettings, User,
};

const FULL: &str = include_str!("good/full.toml");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/good");

fn lookup(name: &str) -> Option<String> {
    match name {
        "TENEMENT_ROOT" => Some("state".into()),
        "GREETING" => Some("{id} and 'more words'".into()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Config, ConfigErrors> {
    let path = Path::new(FOLDER).join("tenement.toml");
    parse(&Source::from_text(&path, text).unwrap(), &lookup)
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

#[test]
fn every_built_key_means_what_it_says() {
    let config = read(FULL).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.folder, Path::new(FOLDER));
    assert_eq!(
        config.settings,
        Settings {
            data_dir: Path::new(FOLDER).join("state/data"),
            admin_host: Some("ten.example.com".into()),
            backoff: Backoff { base: Duration::ZERO, max: Duration::from_secs(2) },
            crash_limit: CrashLimit { max_restarts: 7, window: Duration::from_secs(60) },
            trash_retention: Duration::from_secs(3600),
            proxy: ProxySettings {
                head_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_millis(7_500),
                body_timeout: Duration::from_secs(30),
                min_body_rate: 0,
                max_head_bytes: 8192,
                max_headers: 50,
                max_connections: 500,
                max_connections_per_ip: 20,
                max_streams: 10,
                max_useless_frames: 200,
                useless_frames_per_second: 20,
                max_new_instances_per_ip: 6,
                drain_timeout: Duration::from_millis(2_500),
                trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                proxy_protocol: true,
                access_log: AccessLog::Json,
                error_pages: Some(Path::new(FOLDER).join("pages")),
            },
            tls: Some(TlsSettings {
                enabled: true,
                https_port: 8443,
                http_port: 0,
                cert_file: Path::new(FOLDER).join("tls/chain.pem"),
                key_file: "/etc/tls/key.pem".into(),
            }),
        }
    );

    let api = &config.services["api"];
    assert_eq!(api.name.as_str(), "api");
    assert_eq!(api.description.as_deref(), Some("The app itself"));
    let argv = ["my app", "--port", "{port}", "--greeting={{id}} and 'more words'", "{{}}"];
    assert_eq!(api.argv, argv.map(template));
    assert_eq!(api.workdir, template("apps/{name}"));
    assert_eq!(api.socket, template("{instance_dir}/api.sock"));
    let env = [
        ("DATABASE_PATH", "{data_dir}/{id}/app.db"),
        ("FROM_FILE", "{{id}} stays as it is"),
        ("LOG_LEVEL", "info"),
        ("SECRET_KEY", "{{not a template"),
    ];
    assert_eq!(api.env, env.map(|(name, value)| (name.to_string(), template(value))));
    let region = EnvPattern::Name("AWS_REGION".into());
    assert_eq!(api.env_pass, [region, EnvPattern::Prefix("OTEL_".into())]);
    assert_eq!(
        api.health,
        Some(HealthCheck {
            path: "/health?deep=1".into(),
            interval: Duration::from_secs(3),
            timeout: Duration::from_millis(500),
        })
    );
    assert_eq!(api.startup_timeout, Duration::from_secs(20));
    assert_eq!(api.idle_timeout, Some(Duration::from_millis(250)));
    assert_eq!(api.restart, RestartPolicy::Always);
    assert_eq!(api.isolation, Isolation::Process);
    assert_eq!(api.listen, Listen::Socket);
    assert_eq!((api.protocol, api.on_demand), (Protocol::H2c, OnDemand::Known));
    assert_eq!(
        api.concurrency,
        Concurrency { max: 8, queue_limit: 16, queue_timeout: Duration::ZERO }
    );
    assert!(api.waking_page);
    assert_eq!(
        api.asleep,
        Asleep {
            health: Some("/health".into()),
            robots: Some("User-agent: *".into()),
            favicon: true,
            paths: [("/old".to_string(), 410), ("/status".to_string(), 204)].into(),
        }
    );
    assert_eq!((api.max_instances, api.max_known), (12, 34));
    assert_eq!(Ok(api.stop_signal), "SIGINT".parse());
    assert_eq!(api.stop_timeout, Duration::ZERO);
    assert_eq!(api.request_timeout, None);
    assert_eq!(
        api.limits,
        ResourceLimits {
            memory_limit_mb: Some(256),
            memory_swap_max_mb: Some(0),
            cpu_shares: Some(300),
            cpu_max_percent: Some(150),
            pids_limit: 64,
            pids_asked: true,
            io_weight: Some(50),
            storage_quota_mb: None,
        }
    );
    assert!(api.storage_persist);

    let jobs = &config.services["jobs"];
    assert_eq!(jobs.argv, ["sh", "-c", "exec work \"$HOME\"", "{id}"].map(template));
    assert_eq!((jobs.isolation, jobs.listen), (Isolation::Namespace, Listen::None));
    assert_eq!((&api.network, &jobs.network), (&Network::Host, &Network::None));
    assert_eq!(
        (api.user.as_ref(), jobs.user.as_ref()),
        (Some(&User::Inherit), Some(&User::Uid(1000)))
    );
    assert_eq!(jobs.limits.storage_quota_mb, Some(100));
    let models = Bind { path: "/srv/models".into(), writable: false };
    let extra = Bind { path: Path::new(FOLDER).join("extra/more"), writable: true };
    assert_eq!(jobs.bind, [models, extra]);

    let instances: Vec<_> = config.instances.iter().map(ToString::to_string).collect();
    assert_eq!(instances, ["web:b", "web:a", "jobs:main"]);
    let routes = |pairs: &[(&str, &str)]| -> BTreeMap<_, _> {
        pairs.iter().map(|(from, to)| (from.to_string(), to.parse().unwrap())).collect()
    };
    assert_eq!(
        config.routing,
        Routing {
            default: Some("web".parse().unwrap()),
            subdomain: routes(&[("admin", "api")]),
            path: routes(&[("/", "web"), ("/api", "api")]),
        }
    );
}

#[test]
fn what_is_absent_has_the_default_of_the_specification() {
    let config = read("[service.api]\ncommand = 'app'\nhealth = '/h'\n").unwrap();
    let settings = &config.settings;
    assert_eq!(settings.data_dir, Path::new("/var/lib/tenement"));
    assert_eq!(settings.admin_host, None);
    let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
    assert_eq!(settings.backoff, backoff);
    let limit = CrashLimit { max_restarts: 3, window: Duration::from_secs(300) };
    assert_eq!(settings.crash_limit, limit);
    assert_eq!(settings.proxy, ProxySettings::DEFAULT);
    assert_eq!(config.routing, Routing::default());

    let api = &config.services["api"];
    assert_eq!(api.workdir, Template::literal(FOLDER));
    assert_eq!(api.socket, template("/tmp/tenement/{name}-{id}.sock"));
    assert!(api.env.is_empty() && api.env_pass.is_empty());
    assert_eq!(api.health.as_ref().unwrap().interval, Duration::from_secs(10));
    assert_eq!(api.startup_timeout, Duration::from_secs(10));
    assert_eq!(api.idle_timeout, None);
    assert_eq!(api.restart, RestartPolicy::OnFailure);
    assert_eq!(api.limits, ResourceLimits::DEFAULT);
    assert!(!api.storage_persist);
    assert_eq!(api.isolation, Isolation::Namespace);
    assert_eq!((api.listen, api.on_demand), (Listen::Auto, OnDemand::Any));
    assert_eq!((api.protocol, api.concurrency), (Protocol::Http1, Concurrency::DEFAULT));
    assert_eq!((api.waking_page, &api.asleep), (false, &Asleep::default()));
    assert_eq!((api.max_instances, api.max_known), (1000, 10_000));
    assert_eq!(api.stop_signal, StopSignal::TERM);
    assert_eq!(api.stop_timeout, Duration::from_secs(10));
    assert_eq!(api.request_timeout, Some(Duration::from_secs(60)));
}

#[test]
fn every_word_has_its_meaning() {
    for listen in ["auto", "port", "socket", "activation", "none"] {
        for restart in ["always", "on-failure", "never"] {
            for on_demand in ["any", "known", "off"] {
                let text = format!(
                    "service.a = {{ command = 'a', listen = '{listen}', restart = '{restart}', \
                     on_demand = '{on_demand}' }}"
                );
                let spec = read(&text).unwrap().services["a"].clone();
                let words = [spec.listen.word(), spec.restart.word(), spec.on_demand.word()];
                assert_eq!(words, [listen, restart, on_demand]);
            }
        }
    }
}

#[test]
fn every_word_of_the_proxy_has_its_meaning() {
    for log in ["off", "text", "json"] {
        for protocol in ["http1", "h2c"] {
            let text = format!(
                "settings.access_log = '{log}'\n\
                 service.a = {{ command = 'a', protocol = '{protocol}' }}"
            );
            let config = read(&text).unwrap();
            assert_eq!(config.settings.proxy.access_log.word(), log);
            assert_eq!(config.services["a"].protocol.word(), protocol);
        }
    }
}

#[test]
fn an_address_is_a_network_of_its_own() {
    let config = read("settings.trusted_proxies = ['192.0.2.7', 'fd00::/8', '0.0.0.0/0']").unwrap();
    let shown: Vec<_> =
        config.settings.proxy.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["192.0.2.7/32", "fd00::/8", "0.0.0.0/0"]);
}

#[test]
fn an_empty_config_is_valid() {
    assert!(read("").unwrap().services.is_empty());
    assert!(read("\u{feff}# nothing\r\n[service]\r\n").unwrap().services.is_empty());
}

/// Parses, and renders what comes of it: neither may panic.
fn survive(text: &str) {
    if let Err(errors) = read(text) {
        assert!(!errors.mistakes().is_empty());
        errors.render(true);
    }
}

/// A valid config in which a few places were overwritten.
fn damaged() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "",
        "\"",
        "'",
        "\n",
        "=",
        "[",
        "]",
        "{",
        "}",
        "${",
        "1",
        "-1",
        "true",
        "é",
        "\u{1F600}",
        "[]",
        "{}",
        "\"\"",
        "\\u0000",
        ".",
        ",",
        "nan",
        "1e999",
        "\"\"\"",
        "#",
        "\t",
        "\r\n",
        "service",
        "process",
        "api",
    ]);
    let wounds = prop::collection::vec((0..FULL.len(), 0..12usize, bits), 1..6);
    wounds.prop_map(|wounds| {
        let mut text = FULL.to_string();
        for (at, length, bit) in wounds {
            let start = text.floor_char_boundary(at);
            let end = text.ceil_char_boundary((at + length).min(text.len())).max(start);
            text.replace_range(start..end, bit);
        }
        text
    })
}

/// A config in which one key has a value of another type.
fn mistyped() -> impl Strategy<Value = String> {
    let lines = FULL.lines().filter(|line| line.contains(" = ")).count();
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "0.5",
        "nan",
        "''",
        "'x'",
        "true",
        "[]",
        "['a', 1]",
        "{}",
        "{ a = 1 }",
        "{ a = 'x' }",
        "1979-05-27",
        "[[]]",
        "'${X}'",
        "'{x}'",
    ]);
    (0..lines, value).prop_map(|(chosen, value)| {
        let mut seen = 0;
        let swap = |line: &str| match line.split_once(" = ") {
            Some((key, _)) if !line.starts_with('#') => {
                seen += 1;
                if seen - 1 == chosen { format!("{key} = {value}\n") } else { format!("{line}\n") }
            }
            _ => format!("{line}\n"),
        };
        FULL.lines().map(swap).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn random_text_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_damaged_config_never_panics(text in damaged()) {
        survive(&text);
    }

    #[test]
    fn a_value_of_another_type_never_panics(text in mistyped()) {
        survive(&text);
    }
}

#[test]
fn a_private_network_has_the_nameservers_that_are_typed() {
    let network = |keys: &str| {
        let text = format!("[service.a]\ncommand = \"app\"\nnetwork = \"private\"\n{keys}");
        read(&text).unwrap().services["a"].network.clone()
    };
    let with = |nameservers| Network::Private { nameservers };
    assert_eq!(network(""), with(None));
    assert_eq!(network("nameservers = []"), with(Some(vec![])));
    let two = vec!["9.9.9.9".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    assert_eq!(network("nameservers = [\"9.9.9.9\", \"10.0.0.2\"]"), with(Some(two)));
}

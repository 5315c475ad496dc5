use std::ffi::OsString;

use ten_domain::*;
use ten_kernel::{HostUser, Mount, Walls};

use super::*;

fn spec(isolation: Isolation) -> ServiceSpec {
    ServiceSpec {
        argv: vec![Template::literal("sh"), Template::parse("--port={port}").unwrap()],
        workdir: Template::literal("/usr"),
        socket: Template::parse("/tmp/tenement/{name}-{id}.sock").unwrap(),
        isolation,
        ..ServiceSpec::plain("api")
    }
}

fn ground() -> Ground {
    let host = [("PATH", "/usr/bin:/bin"), ("SECRET", "s"), ("LC_ALL", "C"), ("APP_X", "1")];
    Ground {
        folder: "/".into(),
        data_dir: "/srv/data".into(),
        run_dir: "/srv/data/.run".into(),
        environment: HostEnvironment::new(
            host.map(|(name, value)| (OsString::from(name), OsString::from(value))),
        ),
        layout: layout(&[spec(Isolation::Namespace)]),
        key_file: None,
    }
}

fn layout(services: &[ServiceSpec]) -> Layout {
    Layout::of(services, &["/srv/data".as_ref()]).unwrap()
}

fn plan_of(spec: &ServiceSpec, name: &str) -> Result<LaunchPlan, PlanError> {
    let plan = plan(&ground(), spec, &name.parse().unwrap(), 30123, &BTreeMap::new());
    plan.and_then(Preflight::passed)
}

fn env<'a>(plan: &'a LaunchPlan, name: &str) -> Option<&'a str> {
    plan.env.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_environment_is_built_from_nothing() {
    let mut spec = spec(Isolation::Process);
    spec.env_pass = vec![EnvPattern::Prefix("APP_".into())];
    spec.env = vec![("DB".into(), Template::parse("{instance_dir}/app.db").unwrap())];
    let extra = [("DB".to_string(), "over".to_string())].into();
    let name = "api:prod".parse().unwrap();
    let plan = plan(&ground(), &spec, &name, 30123, &extra);
    let plan = plan.and_then(Preflight::passed).unwrap();
    let names: Vec<_> = plan.env.iter().map(|(name, _)| name.as_str()).collect();
    let want =
        ["APP_X", "DATA_DIR", "DB", "LC_ALL", "PATH", "PORT", "SOCKET_PATH", "TENEMENT_INSTANCE"];
    assert_eq!(names, want);
    assert_eq!(env(&plan, "DATA_DIR"), Some("/srv/data/api/prod"));
    assert_eq!(env(&plan, "SOCKET_PATH"), Some("/tmp/tenement/api-prod.sock"));
    assert_eq!(env(&plan, "DB"), Some("over"));
    assert_eq!(plan.argv, ["sh", "--port=30123"]);
    assert_eq!(plan.program, std::path::Path::new("/usr/bin/sh"));
}

#[test]
fn folders_named_with_the_id_become_the_instances_own() {
    let env = vec![("DB".into(), Template::parse("{data_dir}/{id}/app.db").unwrap())];
    let spec = ServiceSpec { env, ..spec(Isolation::Namespace) };
    let other = ServiceSpec { name: "other".parse().unwrap(), env: vec![], ..spec.clone() };
    let ground = Ground { layout: layout(&[spec.clone(), other]), ..ground() };
    let of = |name: &str| outline(&ground, &spec, &name.parse().unwrap(), 30123);
    let folders = ["/srv/data/api/prod", "/srv/data/prod"].map(PathBuf::from);
    assert_eq!(of("api:prod").unwrap().folders, folders);
    assert_eq!(data(&ground, &spec, &"api:prod".parse().unwrap()).unwrap().folders, folders);
    for name in ["api:other", "api:api"] {
        assert!(matches!(of(name), Err(PlanError::Folder(FolderError::Taken { .. }))), "{name}");
    }
}

#[test]
fn namespaces_hide_the_data_folder_and_show_the_instances_own() {
    let name = "api:prod".parse().unwrap();
    let outlined = outline(&ground(), &spec(Isolation::Namespace), &name, 30123).unwrap();
    let plan = plan_of(&spec(Isolation::Namespace), "api:prod").unwrap();
    let Walls::Namespaces { hostname, network, mounts } = &plan.walls else { panic!() };
    assert_eq!((hostname.as_str(), *network), ("prod", ten_kernel::Network::Host));
    let alone = ServiceSpec { network: Network::None, ..spec(Isolation::Namespace) };
    let alone = plan_of(&alone, "api:prod").unwrap().walls;
    let own = ten_kernel::Network::Loopback;
    assert!(matches!(alone, Walls::Namespaces { network, .. } if network == own));
    let hides = mounts.iter().position(
        |m| matches!(m, Mount::Private { at, .. } if at == std::path::Path::new("/srv/data")),
    );
    let shows = mounts.iter().position(
        |m| matches!(m, Mount::Bind { at, writable: true, .. } if at.ends_with("api/prod")),
    );
    assert!(hides.unwrap() < shows.unwrap());
    // The folder that others cannot see is where the socket really is.
    let outside = PathBuf::from("/srv/data/.run/scratch/api:prod/api-prod.sock");
    assert_eq!(outlined.listener.unix.as_ref(), Some(&outside));
    assert_eq!(plan.socket, Some(outside));
}

#[test]
fn a_private_network_leads_out_and_says_whom_to_ask() {
    let asked = Some(vec![std::net::Ipv4Addr::new(192, 0, 2, 53)]);
    let network = Network::Private { nameservers: asked };
    let planned = plan_of(&ServiceSpec { network, ..spec(Isolation::Namespace) }, "api:prod");
    if !ten_kernel::is_root() {
        return assert!(matches!(planned, Err(PlanError::PrivateNeedsRoot)));
    }
    let Walls::Namespaces { network, mounts, .. } = planned.unwrap().walls else { panic!() };
    assert_eq!(network, ten_kernel::Network::Uplink);
    let file = std::fs::canonicalize(resolver::FILE).unwrap();
    let is_file = |m: &&Mount| matches!(m, Mount::Text { at, .. } if *at == file);
    let text = Mount::Text { at: file.clone(), text: "nameserver 192.0.2.53\n".into() };
    assert_eq!(mounts.iter().rfind(is_file), Some(&text));
    // Made where it can be, and seen over what shows the host's.
    let place = |m: &Mount| matches!(m, Mount::Private { .. });
    assert!(mounts.iter().position(place) < mounts.iter().position(|m| *m == text));
}

/// A config beside its data, in a hidden place: showing the workdir must not show the data.
#[test]
fn a_workdir_around_the_data_folder_does_not_uncover_it() {
    let ground =
        Ground { data_dir: "/tmp/data".into(), run_dir: "/tmp/data/.run".into(), ..ground() };
    for workdir in ["/tmp", "/tmp/data"] {
        let mut spec = spec(Isolation::Namespace);
        spec.workdir = Template::literal(workdir);
        // It need not exist for this question.
        let places = places::Places::new(&ground, &spec, &"api:prod".parse().unwrap(), 1).unwrap();
        let name = "api:prod".parse().unwrap();
        let raised = walls::raise(&ground, &spec, &name, &places, None).unwrap();
        let Walls::Namespaces { mounts, .. } = raised.walls else { panic!() };
        let last_over = |path: &str| {
            let covers = |m: &&Mount| match m {
                Mount::Bind { at, .. } | Mount::Private { at, .. } => {
                    std::path::Path::new(path).starts_with(at)
                }
                Mount::Proc | Mount::Sys | Mount::Devices | Mount::Text { .. } => false,
            };
            mounts.iter().rfind(covers).cloned()
        };
        let hidden = last_over("/tmp/data/api/other");
        assert!(matches!(hidden, Some(Mount::Private { .. })), "{workdir}: {hidden:?}");
        let own = last_over("/tmp/data/api/prod/x");
        assert!(matches!(own, Some(Mount::Bind { writable: true, .. })), "{workdir}: {own:?}");
    }
}

#[test]
fn a_socket_is_never_shown_over_a_system_folder() {
    let mut spec = spec(Isolation::Namespace);
    for (path, fine) in [
        ("/etc/x.sock", false),
        ("/tmp/x.sock", false),
        ("/x.sock", false),
        ("/tmp/a/x.sock", true),
        ("{instance_dir}/x.sock", true),
        ("{instance_dir}/run/x.sock", false),
    ] {
        spec.socket = Template::parse(path).unwrap();
        let got = plan_of(&spec, "api:prod");
        assert_eq!(got.is_ok(), fine, "{path}: {got:?}");
    }
}

#[test]
fn what_cannot_be_started_is_said_so() {
    let mut wrong = spec(Isolation::Process);
    wrong.argv = vec![Template::literal("no-such-program")];
    assert!(matches!(plan_of(&wrong, "api:a"), Err(PlanError::ProgramNotFound { .. })));
    wrong.argv = vec![Template::literal("./no-such-program")];
    assert!(matches!(plan_of(&wrong, "api:a"), Err(PlanError::ProgramUnusable { .. })));
    wrong.argv = vec![Template::literal("/usr")];
    assert!(matches!(plan_of(&wrong, "api:a"), Err(PlanError::ProgramUnusable { .. })));
    let mut wrong = spec(Isolation::Process);
    wrong.workdir = Template::literal("/nowhere");
    assert!(matches!(plan_of(&wrong, "api:a"), Err(PlanError::Workdir { .. })));
    let mut long = spec(Isolation::Process);
    long.listen = Listen::Socket;
    let name = format!("api:{}", "a".repeat(63));
    long.socket = Template::parse(&format!("/tmp/{}/{{id}}.sock", "x".repeat(40))).unwrap();
    assert!(matches!(plan_of(&long, &name), Err(PlanError::SocketTooLong { .. })));
}

/// Before anything starts: whoever keeps users may take its time.
#[test]
fn users_are_looked_up_beforehand() {
    let called = |user: User| ServiceSpec { user: Some(user), ..spec(Isolation::Namespace) };
    let nobody = User::Name("nobody".into());
    let services = [called(nobody.clone()), called(User::Name("no-such-user".into()))];
    let mut known = HostEnvironment::new([]).knowing_users_of(&services);
    assert_eq!(known.user(&nobody).unwrap().unwrap().name, "nobody");
    assert_eq!(known.users.len(), 1, "who is missing may come yet");
    // It is not asked for again.
    known.users[0].1.home = "/as/it/was".into();
    assert_eq!(known.user(&nobody).unwrap().unwrap().home, "/as/it/was");
}

/// Such a user would own the data of the instance that has the number.
#[test]
fn no_name_stands_for_a_uid_that_ten_gives() {
    if !ten_kernel::is_root() {
        return println!("SKIP only root starts anything as another user");
    }
    let user = User::Name("guest".into());
    let (uid, gid) = (User::OF_TEN.start, 100);
    let home = "/home/guest".into();
    let known = HostUser { name: "guest".into(), uid, gid, groups: vec![gid], home };
    let mut ground = ground();
    ground.environment.users.push((user.clone(), known));
    let spec = ServiceSpec { user: Some(user), ..spec(Isolation::Namespace) };
    let planned = plan(&ground, &spec, &"api:a".parse().unwrap(), 1, &BTreeMap::new());
    assert!(matches!(planned, Err(PlanError::UserOfTen { .. })), "{planned:?}");
}

#[test]
fn no_start_shows_the_servers_own_key() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let own = folder.path().join("key.pem");
    std::fs::write(&own, "").unwrap();
    let workdir = |at: &str| ServiceSpec {
        user: Some(User::Inherit),
        workdir: Template::literal(at),
        ..spec(Isolation::Namespace)
    };
    let here = workdir(folder.path().to_str().unwrap());
    let shows = |spec: &ServiceSpec, key: &Path| {
        let ground = Ground { key_file: Some(key.into()), ..ground() };
        let plan = plan(&ground, spec, &"api:a".parse().unwrap(), 1, &BTreeMap::new());
        match plan.and_then(Preflight::passed) {
            Ok(_) => false,
            Err(PlanError::ShowsKey { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(shows(&workdir("/usr"), "/etc/passwd".as_ref()));
    assert!(!shows(&workdir("/usr"), "/etc/nothing".as_ref()));
    // /tmp is hidden, but for what is shown of it.
    assert!(!shows(&workdir("/usr"), &own));
    assert!(shows(&here, &own));
}

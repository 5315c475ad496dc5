//! `[service.NAME]`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ten_domain::{Listen, ResourceLimits, ServiceName, ServiceSpec, Template, Variable, Variables};

use super::{Meaning, asleep, env, requests, storage, walls, words};
use crate::{
    mistakes::Mistake,
    template::Place,
    typed::{Section, Text, Typed},
};

/// Variables of everything but the socket's own path.
const ALL: &[Variable] = &Variable::ALL;

/// Variables of the socket's path: all but itself.
const BUT_SOCKET: &[Variable] =
    &[Variable::Name, Variable::Id, Variable::DataDir, Variable::InstanceDir, Variable::Port];

/// Reads one service. Everything is read before anything missing ends it, so that every
/// mistake is found.
pub(super) fn service(
    m: &mut Meaning<'_>,
    section: &Section,
    name: Option<&ServiceName>,
    health_check_interval: Duration,
) -> Option<ServiceSpec> {
    let argv = argv(m, section);
    let workdir = workdir(m, section);
    let socket = socket(m, section);
    let env = env::env(m, section);
    let env_pass = env::env_pass(m, section);
    let health = requests::health(m, section, health_check_interval);
    let listen = words::listen(section.word("listen"));
    let idle_timeout = some_unless_zero(section.seconds("idle_timeout"));
    let asleep = asleep::asleep(m, section);
    if listen == Listen::None {
        requests::none_for_a_worker(m, section);
    }
    let isolation = words::isolation(section.word("isolation"));
    let user = walls::user(m, section, isolation);
    let network = walls::network(m, section, isolation);
    let bind = walls::bind(m, section, isolation);
    storage::needs_walls(m, section, isolation);
    Some(ServiceSpec {
        name: name?.clone(),
        description: section.text("description").map(|text| text.value.clone()),
        argv: argv?,
        workdir: workdir?,
        socket: socket?,
        env,
        env_pass,
        health,
        startup_timeout: section.seconds("startup_timeout"),
        idle_timeout,
        restart: words::restart(section.word("restart")),
        isolation,
        network,
        listen,
        protocol: words::protocol(section.word("protocol")),
        concurrency: requests::concurrency(section),
        on_demand: words::on_demand(section.word("on_demand")),
        waking_page: section.boolean("waking_page"),
        asleep,
        max_instances: section.number("max_instances"),
        max_known: section.number("max_known"),
        stop_signal: words::stop_signal(section.word("stop_signal")),
        stop_timeout: section.seconds("stop_timeout"),
        request_timeout: some_unless_zero(section.seconds("request_timeout")),
        user,
        bind,
        limits: limits(section),
        storage_persist: section.boolean("storage_persist"),
    })
}

fn argv(m: &mut Meaning<'_>, section: &Section) -> Option<Vec<Template>> {
    let command = section.text("command")?;
    if command.value.trim().is_empty() {
        m.mistakes.push(
            Mistake::at(command.span.clone(), "`command` is empty")
                .help("name what starts the app: command = \"python3 app.py\""),
        );
        return None;
    }
    if section.place("args").is_none() {
        return split(m, command);
    }
    let program = m.template("command", command, ALL);
    let args = section.texts("args")?.iter().map(|arg| m.template("args", arg, ALL));
    let args: Vec<_> = args.collect();
    std::iter::once(program).chain(args).collect()
}

/// Splits a command as a shell would, then reads each word as a template: the value of a
/// variable never becomes two words.
fn split(m: &mut Meaning<'_>, command: &Text) -> Option<Vec<Template>> {
    let Ok(words) = shell_words::split(&command.value) else {
        m.mistakes.push(
            Mistake::at(command.span.clone(), "a quote in `command` is not closed")
                .help("close it, or write the quote as \\\"; with `args`, nothing needs quotes"),
        );
        return None;
    };
    if words.first().is_none_or(String::is_empty) {
        m.mistakes.push(
            Mistake::at(command.span.clone(), "`command` names no program")
                .help("its first word is the program: command = \"python3 app.py\""),
        );
        return None;
    }
    let place = Place::of(command, m.source);
    let mut from = 0;
    let templates = words.iter().map(|word| {
        let place = place.of_word(command, &mut from, word);
        m.templates().read("command", word, &place, ALL)
    });
    templates.collect::<Vec<_>>().into_iter().collect()
}

fn workdir(m: &mut Meaning<'_>, section: &Section) -> Option<Template> {
    let Some(text) = section.text("workdir") else {
        return Some(Template::literal(m.source.folder().to_string_lossy()));
    };
    let template = m.template("workdir", text, ALL);
    template.filter(|_| m.is_path("workdir", &text.value, text))
}

fn socket(m: &mut Meaning<'_>, section: &Section) -> Option<Template> {
    let Some(text) = section.text("socket") else {
        let default = Template::parse(section.default_text("socket"));
        return Some(default.expect("the default socket is a template"));
    };
    let template = m.template("socket", text, BUT_SOCKET)?;
    if !m.is_path("socket", &text.value, text) {
        return None;
    }
    if !sample(&template, "name", "id").starts_with('/') {
        m.mistakes.push(
            Mistake::at(text.span.clone(), "`socket` must be an absolute path")
                .label("does not start with `/`")
                .help("start it with `/`, {data_dir} or {instance_dir}"),
        );
    } else if ![Variable::Id, Variable::InstanceDir].iter().any(|v| template.mentions(*v)) {
        m.mistakes.push(
            Mistake::at(text.span.clone(), "all instances would share one socket")
                .label("the same path for every id")
                .help("put {id} into it, or {instance_dir} in front of it"),
        );
    }
    Some(template)
}

/// The path of one instance's socket, as far as it can be known before the instance is.
fn sample(socket: &Template, name: &str, id: &str) -> String {
    let instance_dir = format!("/data/{name}/{id}");
    socket.expand(&Variables {
        name,
        id,
        data_dir: "/data",
        instance_dir: &instance_dir,
        socket: "",
        port: 1,
    })
}

/// Two services whose instances of one id would listen on one path would serve each other's
/// tenants.
pub(super) fn no_shared_sockets(
    m: &mut Meaning<'_>,
    root: &Section,
    services: &BTreeMap<ServiceName, Arc<ServiceSpec>>,
) {
    let mut owners = BTreeMap::<String, (&ServiceName, _)>::new();
    for (typed, table) in root.named("service") {
        let Some((name, spec)) = services.get_key_value(typed.value.as_str()) else { continue };
        let Some(Typed::Table(section)) = table else { continue };
        let Some(text) = section.text("socket") else { continue };
        if matches!(spec.listen, Listen::Port | Listen::None) {
            continue;
        }
        let path = sample(&spec.socket, name.as_str(), "id");
        let first = owners.insert(path, (name, text.span.clone()));
        if let Some((other, at)) = first.filter(|(other, _)| *other != name) {
            let title = format!("`{other}` and `{name}` would share their sockets");
            m.mistakes.push(
                Mistake::at(text.span.clone(), title)
                    .label("the same paths again")
                    .also(at, "given here")
                    .help("put {name} into both"),
            );
        }
    }
}

fn limits(section: &Section) -> ResourceLimits {
    ResourceLimits {
        memory_limit_mb: section.integer_given("memory_limit_mb"),
        memory_swap_max_mb: section.integer_given("memory_swap_max_mb"),
        cpu_shares: small(section, "cpu_shares"),
        cpu_max_percent: small(section, "cpu_max_percent"),
        pids_limit: section.integer("pids_limit"),
        pids_asked: section.integer_given("pids_limit").is_some(),
        io_weight: small(section, "io_weight"),
        storage_quota_mb: section.integer_given("storage_quota_mb"),
    }
}

/// A number that the table of keys keeps small enough for its type.
fn small<T: TryFrom<u64>>(section: &Section, key: &str) -> Option<T> {
    section.integer_given(key).and_then(|number| T::try_from(number).ok())
}

fn some_unless_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

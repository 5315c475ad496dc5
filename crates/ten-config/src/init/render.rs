//! The commented `tenement.toml` of `ten init`.

use ten_domain::ServiceName;

use super::{Language, Project};

/// Renders a config with one service. `command` is written as it is meant in the config:
/// template variables work in it. `bind` is what of the host the command needs to be shown.
pub fn render(name: &ServiceName, command: &str, project: &Project, bind: &[String]) -> String {
    let origin = match project.language {
        Language::Unknown => String::new(),
        language => format!("# Found: a {} project.\n", language.word()),
    };
    let build = match &project.build {
        Some(build) => format!("# Build it first: {build}\n"),
        None => String::new(),
    };
    let command = toml::Value::String(command.into());
    let bind = match bind {
        [] => "# bind = [\"/srv/models:ro\"]".to_owned(),
        shown => format!("bind = {}", toml::Value::from(shown.to_vec())),
    };
    format!(
        r#"# tenement.toml: what `ten serve` runs. `ten config check` finds every mistake in it,
# `ten config schema` tells editors about all keys.
{origin}
[settings]
# Everything that must last: the data of all instances, logs, tokens.
data_dir = "./tenement-data"

# One service. Each customer gets an instance of it at http://ID.{name}.localhost:8080,
# started by the first request.
[service.{name}]
{build}# Split like a shell would, but never run through one. It must listen on 127.0.0.1 at the
# port in $PORT, or on the Unix socket at $SOCKET_PATH. Its own folder is in $DATA_DIR.
command = {command}
# Seconds without a request after which an instance sleeps. The next request wakes it.
idle_timeout = 300
# A path that answers 2xx once the app works. Without it, ready means that it accepts.
# health = "/health"
# Seconds until it must accept.
# startup_timeout = 10
# Walls around each instance: "namespace" or, with fewer, "process".
# isolation = "namespace"
# More of the host that it sees. The walls hide home folders, and the tools installed there.
{bind}
# Whose request starts an instance: "any" id, only "known" ones (`ten spawn`), or "off".
# on_demand = "any"

# The environment. {{id}}, {{port}}, {{instance_dir}} and others are each instance's own;
# ${{NAME}} is taken from the environment of ten.
[service.{name}.env]
DATABASE_PATH = "{{instance_dir}}/app.db"
# SECRET_KEY = "${{SECRET_KEY:-for-development-only}}"

# Instances to start together with the server.
# [instances]
# {name} = ["demo"]
"#
    )
}

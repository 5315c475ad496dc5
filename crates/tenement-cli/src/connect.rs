//! Which server, and where its data dir is.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use ten_client::{Client, Target, TargetError};
use ten_config::Source;
use ten_domain::Config;
use ten_server::DataDir;

use crate::{args::Global, failure::Failure};

/// The data dir of a server that was given no config. The same as in the config's reference.
const DEFAULT_DATA_DIR: &str = "/var/lib/tenement";
/// The admin socket inside the data dir.
const SOCKET: &str = "ten.sock";

/// A client of the server that was named, or else of the one on this host.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    let Some(url) = &global.server else {
        return Ok(Client::new(Target::Socket(socket(&data_dir(global)?)), None));
    };
    let target = url.parse().map_err(|error: TargetError| {
        Failure::usage(format!("cannot use --server {url}")).why(format!("it {error}"))
    })?;
    let token = match &global.token {
        Some(token) => Some(token.clone()),
        None => saved_token(&data_dir(global)?)?,
    };
    Ok(Client::new(target, token))
}

/// `--data-dir`, else what the config says, else the default.
pub(crate) fn data_dir(global: &Global) -> Result<DataDir, Failure> {
    if let Some(data_dir) = &global.data_dir {
        return data_dir_at(data_dir);
    }
    match config(global)? {
        Some(config) => data_dir_at(&config.settings.data_dir),
        None => data_dir_at(Path::new(DEFAULT_DATA_DIR)),
    }
}

/// The admin socket of the server with this data dir.
pub(crate) fn socket(data_dir: &DataDir) -> PathBuf {
    data_dir.path().join(SOCKET)
}

/// What the config means, where there is one.
pub(crate) fn config(global: &Global) -> Result<Option<Config>, Failure> {
    let Ok(path) = locate(global) else { return Ok(None) };
    // The operator's shell need not have the secrets that the server has.
    let lookup = |name: &str| Some(env::var(name).unwrap_or_default());
    let config = ten_config::parse(&read(&path)?, &lookup);
    config.map(Some).map_err(|mistakes| {
        Failure::new("cannot tell where the server keeps its data")
            .why(format!("{} has {} mistake(s)", path.display(), mistakes.mistakes().len()))
            .fix("`ten config check` shows them; --data-dir works without a config")
    })
}

/// The same folder however its path was written: the server and its clients must mean one socket.
pub(crate) fn data_dir_at(path: &Path) -> Result<DataDir, Failure> {
    DataDir::at(path).map_err(|error| {
        let failure = Failure::new(format!("cannot tell where data_dir {} is", path.display()));
        failure.because(error).fix("does a link on the way lead nowhere, or is a folder closed?")
    })
}

/// The config's path.
pub(crate) fn locate(global: &Global) -> Result<PathBuf, Failure> {
    let variable = env::var_os("TENEMENT_CONFIG");
    ten_config::locate(global.config.as_deref(), variable.as_deref())
        .map_err(|error| lines(&error.to_string()))
}

/// The config's text.
pub(crate) fn read(path: &Path) -> Result<Source, Failure> {
    Source::read(path).map_err(|error| lines(&error.to_string()))
}

/// An error whose text is what to know on one line and what to do on the next.
fn lines(text: &str) -> Failure {
    let failure = Failure::new("cannot read the config");
    match text.split_once('\n') {
        Some((why, fix)) => failure.why(why).fix(fix),
        None => failure.why(text),
    }
}

fn saved_token(data_dir: &DataDir) -> Result<Option<String>, Failure> {
    let path = data_dir.path().join(ten_server::auth::TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(format!("cannot read {}", path.display()))
            .because(error)
            .fix("pass --token")),
    }
}

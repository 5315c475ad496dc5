//! What the typed tables mean: names, references, paths, templates, and rules that span more
//! than one key. Types, ranges and words are [`check`]'s; here they hold.

mod asleep;
mod env;
mod layout;
mod proxy;
mod requests;
mod routing;
mod service;
mod settings;
mod storage;
mod tls;
mod walls;
mod words;

use std::{collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc};

use ten_domain::{Config, Listen, ServiceName, Template, Variable, Variables};
use toml::de::DeTable;

use crate::{
    ConfigErrors, Source, check,
    mistakes::Mistake,
    suggest, syntax,
    template::{Place, Templates},
    typed::{Section, Text, Typed},
};

/// Values for templates that name no variable.
const NOTHING: Variables<'_> =
    Variables { name: "", id: "", data_dir: "", instance_dir: "", socket: "", port: 0 };

/// Parses a config. `lookup` is ten's own environment, for `${NAME}`.
///
/// Reads the `env_file`s that the config names and touches nothing else. The error holds
/// every mistake; where the text is no TOML, only those of its syntax, as what it would mean
/// is a guess.
pub fn parse(
    source: &Source,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let (document, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        let mistakes = errors.iter().map(|error| syntax::mistake(error, source.text())).collect();
        return Err(ConfigErrors::new(source, mistakes));
    }
    let (root, mistakes) = check::document(document.get_ref());
    let mut meaning = Meaning { source, lookup, mistakes };
    let config = meaning.config(&root);
    match config {
        Some(config) if meaning.mistakes.is_empty() => Ok(config),
        _ => Err(ConfigErrors::new(source, meaning.mistakes)),
    }
}

/// Services by the name that was typed, valid or not, so that a reference to a service that
/// has mistakes of its own is not called dangling as well.
type Declared = BTreeMap<String, Listen>;

struct Meaning<'a> {
    source: &'a Source,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<Mistake>,
}

impl Meaning<'_> {
    fn config(&mut self, root: &Section) -> Option<Config> {
        let settings = settings::settings(self, root.table("settings"));
        let declared = self.declared(root);
        let mut services = BTreeMap::new();
        let interval = settings.health_check_interval;
        for (name, table) in root.named("service") {
            let name = self.name(name, "service name");
            let Some(Typed::Table(section)) = table else { continue };
            let spec = service::service(self, section, name.as_ref(), interval);
            services.extend(name.zip(spec.map(Arc::new)));
        }
        service::no_shared_sockets(self, root, &services);
        if let Some(settings) = &settings.meaning {
            layout::check(self, root, &services, &settings.data_dir);
        }
        let instances = routing::instances(self, root, &declared);
        let routing = routing::routing(self, root.table("routing"), &declared);
        Some(Config {
            folder: self.source.folder().into(),
            settings: settings.meaning?,
            services,
            instances,
            routing,
        })
    }

    fn declared(&mut self, root: &Section) -> Declared {
        let mut places = BTreeMap::<&str, &Range<usize>>::new();
        let mut declared = Declared::new();
        for (name, table) in root.named("service") {
            if let Some(first) = places.insert(&name.value, &name.span) {
                self.mistakes.push(
                    Mistake::at(
                        name.span.clone(),
                        format!("two services are called `{}`", name.value),
                    )
                    .label("the same name again")
                    .also(first.clone(), "given here")
                    .help("[process.NAME] is another spelling of [service.NAME]; keep one"),
                );
            }
            let listen = match table {
                Some(Typed::Table(section)) => words::listen(section.word("listen")),
                _ => Listen::Auto,
            };
            declared.insert(name.value.clone(), listen);
        }
        declared
    }

    /// A name by SPEC's rule for service names and ids.
    fn name<N>(&mut self, text: &Text, what: &str) -> Option<N>
    where
        N: std::str::FromStr<Err = ten_domain::NameError>,
    {
        let mistake = match text.value.parse() {
            Ok(name) => return Some(name),
            Err(error) => {
                Mistake::at(text.span.clone(), format!("the {what} {:?} {}", text.value, error))
            }
        };
        let label = crate::init::label_of(&text.value);
        self.mistakes.push(match label.parse::<ServiceName>() {
            Ok(valid) => mistake.help(format!("call it `{valid}`")),
            Err(_) => mistake,
        });
        None
    }

    /// The service that a text names.
    fn service_named(&mut self, text: &Text, declared: &Declared) -> Option<(ServiceName, Listen)> {
        if let Some(listen) = declared.get(&text.value) {
            return text.value.parse().ok().map(|name| (name, *listen));
        }
        let mistake =
            Mistake::at(text.span.clone(), format!("no service is called `{}`", text.value));
        let names = || declared.keys().map(String::as_str);
        self.mistakes.push(match suggest::nearest(&text.value, names()) {
            Some(near) => mistake.label(format!("did you mean `{near}`?")),
            None if declared.is_empty() => {
                mistake.help(format!("there is no service at all; add [service.{}]", text.value))
            }
            None => mistake.help(format!("the services are {}", suggest::all(names()))),
        });
        None
    }

    fn template(&mut self, key: &str, text: &Text, variables: &[Variable]) -> Option<Template> {
        let place = Place::of(text, self.source);
        self.templates().read(key, &text.value, &place, variables)
    }

    fn templates(&mut self) -> Templates<'_> {
        Templates { lookup: self.lookup, mistakes: &mut self.mistakes }
    }

    /// A path that is fixed when the config is loaded; relative to the config's folder.
    fn path(&mut self, key: &str, text: &Text) -> Option<PathBuf> {
        let path = self.template(key, text, &[])?.expand(&NOTHING);
        self.is_path(key, &path, text).then(|| self.source.folder().join(&path))
    }

    /// Whether what a text stands for can be a path at all.
    fn is_path(&mut self, key: &str, path: &str, text: &Text) -> bool {
        let span = text.span.clone();
        self.mistakes.push(if path.is_empty() {
            Mistake::at(span, format!("`{key}` is empty")).help("remove it to have the default")
        } else if path == "~" || path.starts_with("~/") {
            Mistake::at(span, format!("`~` means nothing in `{key}`"))
                .help(format!("write the whole path, or ${{HOME}}{}", &path[1..]))
        } else {
            return true;
        });
        false
    }
}

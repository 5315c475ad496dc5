use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::*;

const DATA: &str = "/srv/data";

fn spec(name: &str, values: &[impl AsRef<str>]) -> ServiceSpec {
    let variable = |(at, value): (usize, &_)| {
        let value: &str = AsRef::as_ref(value);
        (format!("V{at}"), Template::parse(value).unwrap())
    };
    ServiceSpec {
        socket: Template::parse("{instance_dir}/s").unwrap(),
        env: values.iter().enumerate().map(variable).collect(),
        ..ServiceSpec::plain(name)
    }
}

fn layout(services: &[(&str, &[&str])]) -> Result<Layout, Vec<LayoutError>> {
    let services: Vec<_> = services.iter().map(|(name, values)| spec(name, values)).collect();
    Layout::of(&services, &[DATA.as_ref(), "/link".as_ref()])
}

fn folders(layout: &Layout, instance: &str) -> Result<Vec<String>, String> {
    let folders = layout.folders(&instance.parse().unwrap()).map_err(|error| error.to_string())?;
    Ok(folders.iter().map(|folder| folder.display().to_string()).collect())
}

/// What is wrong, in a line each.
fn wrong(services: &[(&str, &[&str])]) -> Vec<String> {
    layout(services).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn an_instance_has_what_its_variables_name() {
    let named = |value: &str| folders(&layout(&[("api", &[value])]).unwrap(), "api:prod").unwrap();
    for (value, want) in [
        ("{data_dir}/{id}/app.db", "prod"),
        ("{data_dir}/{id}", "prod"),
        ("{data_dir}/x/{name}-{id}/y/{id}.z", "x/api-prod"),
        ("{data_dir}/./x_{id}/", "x_prod"),
        ("/srv/data/{id}/spelt/out", "prod"),
        ("/link/{id}/db", "prod"),
    ] {
        assert_eq!(named(value), ["api/prod", want], "{value}");
    }
    for value in [
        "{instance_dir}/app.db",
        "{data_dir}/api/{id}/app.db",
        "{data_dir}/shared.db",
        "/elsewhere/{id}",
        "/srv/database/{id}",
        "sqlite://{data_dir}/{id}",
        "{id}",
        "{socket}",
        "{socket}/{id}",
    ] {
        assert_eq!(named(value), ["api/prod"], "{value}");
    }
    // Two variables, one folder.
    let twice = layout(&[("api", &["{data_dir}/{id}/a", "{data_dir}/{id}/b"])]).unwrap();
    assert_eq!(folders(&twice, "api:x").unwrap(), ["api/x", "x"]);
    assert!(folders(&twice, "web:x").unwrap_err().contains("no service web"));
}

#[test]
fn what_can_be_no_folder_of_one_instance_is_refused() {
    for (value, why) in [
        ("{data_dir}/{id}/../other/x", "climbs"),
        ("{data_dir}/x/../{id}", "climbs"),
        ("{data_dir}/{id}.db", "a folder of its own"),
        ("{data_dir}/{id}-{id}/x", "twice"),
        ("{data_dir}/{port}/{id}/x", "at each start"),
        ("{data_dir}/.run/{id}", "`.run` in data_dir is ten's own"),
        ("{data_dir}/.{id}/x", "ten's own"),
        ("{data_dir}/ten.{id}/x", "ten's own"),
        ("{data_dir}/acme/{id}", "ten's own"),
        ("{data_dir}/api_token/{id}", "ten's own"),
    ] {
        let said = wrong(&[("api", &[value])]);
        assert!(said.len() == 1 && said[0].contains(why), "{value}: {said:?}");
    }
}

#[test]
fn an_id_is_never_spelt_like_a_name_that_is_fixed() {
    let uploads = wrong(&[("app", &["{data_dir}/{id}/app.db", "{data_dir}/uploads/{id}/"])]);
    assert_eq!(
        uploads,
        [
            "{data_dir}/uploads/{id}, which V1 of `app` names: the folder of `app:uploads` would hold \
          those of others, because of {data_dir}/{id}, which V0 of `app` names"
        ]
    );
    for (services, why) in [
        (&[("app", &["{data_dir}/{id}", "{data_dir}/{id}-cache"][..])][..], "some ids would have"),
        (&[("app", &["{data_dir}/{name}/uploads/{id}"])], "the folder of `app:uploads`"),
        (&[("a", &["{data_dir}/x/{id}"]), ("b", &["{data_dir}/x/y/{id}"])], "`a:y` would hold"),
        (&[("a", &["{data_dir}/{id}"]), ("b", &["{data_dir}/{id}"])], "two services"),
        (&[("a", &["{data_dir}/b/{id}/x"]), ("b", &[])], "two services"),
        (&[("a", &["{data_dir}/{name}-{id}"]), ("a-b", &["{data_dir}/{name}-{id}"])], "some ids"),
        (&[("a", &["{data_dir}/n_{id}", "{data_dir}/{id}_n"])], "some ids"),
    ] {
        let said = wrong(services);
        assert!(said.len() == 1 && said[0].contains(why), "{services:?}: {said:?}");
    }
    for services in [
        &[("app", &["{data_dir}/{id}/app.db", "{data_dir}/_uploads/{id}/"][..])][..],
        &[("app", &["{data_dir}/{id}/app.db", "{data_dir}/{id}/uploads/"])],
        &[("app", &["{data_dir}/{id}", "{data_dir}/{id}_cache"])],
        &[("a", &["{data_dir}/{name}-{id}"]), ("b", &["{data_dir}/{name}-{id}"])],
        &[("a", &["{data_dir}/x-{id}", "{data_dir}/x/{id}"])],
    ] {
        assert!(layout(services).is_ok(), "{services:?}");
    }
}

/// What no config can rule out, the ids do.
#[test]
fn an_id_that_is_spelt_like_a_service_has_no_folders() {
    let own = layout(&[("api", &["{data_dir}/{id}/app.db"]), ("web", &[])]).unwrap();
    for (instance, why) in [
        ("api:api", "{data_dir}/api would be where the instances of api live"),
        ("api:web", "where the instances of web live"),
        ("api:acme", "where ten keeps its own"),
    ] {
        let error = folders(&own, instance).unwrap_err();
        assert!(error.contains(why) && error.contains("begin V0 with"), "{instance}: {error}");
    }
    assert_eq!(folders(&own, "web:api").unwrap(), ["web/api"]);
    let token = layout(&[("api", &["{data_dir}/{id}_token/db"])]).unwrap();
    assert!(folders(&token, "api:api").is_err() && folders(&token, "api:b").is_ok());
}

#[test]
fn what_an_instance_has_or_may_have_is_taken() {
    let layout = layout(&[("api", &["{data_dir}/x/n_{id}/db"])]).unwrap();
    for (below, taken) in [
        ("api", true),
        ("api/a", true),
        ("api/a/deeper", true),
        ("api/No_Id", false),
        ("x", true),
        ("x/n_a/b", true),
        ("x/a", false),
        ("conf", false),
        (".run/a", true),
        ("ten.sock", true),
    ] {
        assert_eq!(layout.is_taken(below.as_ref()), taken, "{below}");
    }
}

const NAMES: [&str; 13] = [
    "a",
    "b",
    "a-b",
    "x",
    "_x",
    "{name}",
    "{id}",
    "{id}",
    "{name}-{id}",
    "a-{id}",
    "{id}-b",
    "_{id}",
    "{id}_",
];
const IDS: [&str; 10] = ["a", "b", "x", "a-b", "b-a", "a-a", "a-b-b", "a-a-b", "b-b", "x-a"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    /// Whatever templates there are, and whatever ids strangers ask for.
    #[test]
    fn no_folder_of_an_instance_holds_one_of_another(
        services in vec(vec(vec(select(&NAMES[..]), 1..4), 0..3), 1..4)
    ) {
        let path = |parts: &Vec<&str>| format!("{{data_dir}}/{}", parts.join("/"));
        let specs: Vec<_> = services
            .iter()
            .zip(["a", "a-b", "b"])
            .map(|(values, name)| spec(name, &values.iter().map(path).collect::<Vec<_>>()))
            .collect();
        let Ok(layout) = Layout::of(&specs, &[DATA.as_ref()]) else { return Ok(()) };
        let mut all: Vec<(InstanceName, PathBuf)> = Vec::new();
        for service in &specs {
            for id in IDS {
                let name = InstanceName::new(service.name.clone(), id.parse().unwrap());
                let Ok(folders) = layout.folders(&name) else { continue };
                for folder in folders {
                    for (other, theirs) in all.iter().filter(|(other, _)| *other != name) {
                        prop_assert!(
                            !folder.starts_with(theirs) && !theirs.starts_with(&folder),
                            "{name} has {folder:?}, {other} has {theirs:?}"
                        );
                    }
                    all.push((name.clone(), folder));
                }
            }
        }
    }
}

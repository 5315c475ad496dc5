use std::{fs, time::Duration};

use ten_domain::{Backoff, CrashLimit, ProxySettings, Routing, ServiceSpec, Settings, Template};
use ten_runtime::HostEnvironment;

use super::*;
use crate::tests::house::{keeper, layout, name, spec};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct House {
    folder: tempfile::TempDir,
    data: Arc<Data>,
}

impl House {
    /// Services by name, each with a variable that names a folder.
    fn new(services: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = |(service, value): &(&str, &str)| {
            let env = vec![("DB".to_owned(), Template::parse(value).unwrap())];
            let spec = ServiceSpec { name: service.parse().unwrap(), env, ..spec() };
            (spec.name.clone(), Arc::new(spec))
        };
        let config = Config {
            folder: "/".into(),
            settings: Settings {
                data_dir: folder.path().into(),
                admin_host: None,
                backoff: Backoff { base: Duration::ZERO, max: Duration::ZERO },
                crash_limit: CrashLimit { max_restarts: 0, window: Duration::ZERO },
                trash_retention: DAY,
                proxy: ProxySettings::DEFAULT,
                tls: None,
            },
            services: services.iter().map(service).collect(),
            instances: vec![],
            routing: Routing::default(),
        };
        let ground = Ground {
            folder: "/".into(),
            data_dir: folder.path().into(),
            run_dir: folder.path().join(".run"),
            environment: HostEnvironment::default(),
            layout: layout(&config, folder.path()),
            key_file: None,
        };
        let trash = keeper(folder.path());
        Self { data: Data::start(Arc::new(trash), ground, Arc::new(config)), folder }
    }

    fn write(&self, file: &str) {
        let file = self.folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }

    fn has(&self, file: &str) -> bool {
        self.folder.path().join(file).exists()
    }

    async fn give_up(&self, instance: &str) -> Option<Trashed> {
        let instance = name(instance);
        let prepared = self.data.prepare(&instance, Reason::Stop);
        let (discard, discarding) = prepared.await.unwrap();
        discard.carry_out();
        discarding.end().await.unwrap()
    }

    /// An operator's `ten restore --replace`, as far as it gets before the driver's part.
    async fn replacing(&self, instance: &str) -> (PutBack, Discarding) {
        let instance = name(instance);
        let mut back = self.data.find(&instance, None).await.unwrap();
        let prepared = self.data.prepare(&instance, Reason::Replace);
        let (discard, discarding) = prepared.await.unwrap();
        back.replaced = Some(discard);
        (back, discarding)
    }
}

#[tokio::test]
async fn two_who_bring_back_the_same_leave_the_instance_its_data() {
    let house = House::new(&[("api", "x")]);
    house.write("api/a/file");
    house.give_up("api:a").await.unwrap();
    let (first, replaced) = house.replacing("api:a").await;
    let (second, nothing) = house.replacing("api:a").await;
    first.carry_out().unwrap();
    assert_eq!(replaced.end().await.unwrap(), None);
    assert!(matches!(second.carry_out(), Err(Denied::NotInTrash(_))));
    assert_eq!(nothing.end().await.unwrap(), None);
    assert!(house.has("api/a/file"), "the second took away what the first brought back");
    assert_eq!(house.data.list(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_refused_order_leaves_nothing_in_the_trash() {
    let house = House::new(&[("api", "x")]);
    let instance = name("api:a");
    let prepared = house.data.prepare(&instance, Reason::Stop).await.unwrap();
    drop(prepared.0);
    assert_eq!(prepared.1.end().await.unwrap(), None);
    assert_eq!(fs::read_dir(house.folder.path().join(".trash")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_cannot_be_moved_whole_stays_whole() {
    let house = House::new(&[("api", "{data_dir}/link/{id}/db")]);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("a")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), house.folder.path().join("link")).unwrap();
    house.write("api/a/file");
    let instance = name("api:a");
    let prepared = house.data.prepare(&instance, Reason::Stop).await.unwrap();
    prepared.0.carry_out();
    assert!(matches!(prepared.1.end().await, Err(Denied::NotMoved { .. })));
    assert!(house.has("api/a/file"), "half of its data was given up");
    assert_eq!(house.data.list(None).await.unwrap(), []);
}

/// The clock was set ahead by years, or data were given up before it was.
#[tokio::test]
async fn no_clock_empties_the_trash_at_once() {
    let house = House::new(&[("api", "x")]);
    house.write("api/a/file");
    let trashed = house.give_up("api:a").await.unwrap();
    let old = "api:a@2001-01-01T00:00:00.000Z";
    let trash = house.folder.path().join(".trash");
    fs::rename(trash.join(&trashed.entry), trash.join(old)).unwrap();
    let mut due = purge::Due::new();
    house.data.purge(&mut due).unwrap();
    assert!(trash.join(old).join("0/file").exists());
    // Its time has come by the clock that nobody sets.
    let past = std::time::Instant::now();
    due.values_mut().for_each(|at| *at = past);
    house.data.purge(&mut due).unwrap();
    assert!(!trash.join(old).exists());
    // Given up in the future: not longer than a day either.
    let future = "api:a@2101-01-01T00:00:00.000Z";
    house.write("api/a/file");
    let trashed = house.give_up("api:a").await.unwrap();
    fs::rename(trash.join(&trashed.entry), trash.join(future)).unwrap();
    due.clear();
    house.data.purge(&mut due).unwrap();
    assert!(due[future].duration_since(past) < DAY + DAY / 24);
}

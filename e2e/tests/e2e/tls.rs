//! HTTPS with a certificate of one's own, as clients and operators meet it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, thread, time::Duration};

use rustix::process::Signal;
use ten_testkit::{Builder, Ten, pair};

use crate::service::{PATIENCE, app, has_root};

const HOST: &str = "a.app.localhost";
/// How long it may take until a certificate is served that has changed.
const SOON: Duration = Duration::from_secs(10);

fn https() -> Builder {
    Ten::with_config(&app("", "")).https(&[HOST])
}

fn certificate(ten: &Ten) -> String {
    fs::read_to_string(ten.certificate()).unwrap()
}

/// What curl writes that trusts this certificate alone, or why it does not.
fn curl(ten: &Ten, trusted: &str, args: &[&str], path: &str) -> Result<String, String> {
    let file = ten.certificate().with_file_name("trusted.pem");
    fs::write(&file, trusted).unwrap();
    ask(ten, &file, args, path)
}

/// The same with the certificate in that file.
fn ask(ten: &Ten, trusted: &Path, args: &[&str], path: &str) -> Result<String, String> {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "30", "--noproxy", "*"])
        .arg("--resolve")
        .arg(format!("{HOST}:{}:127.0.0.1", ten.address().port()))
        .arg("--cacert")
        .arg(trusted)
        .args(args)
        .arg(ten.url(HOST, path))
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn a_request_in_https_wakes_an_instance_in_either_version() {
    let ten = https().start();
    let trusted = certificate(&ten);
    for (version, said) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let args = [version, "-w", " %{http_version} %{scheme}"];
        let got = curl(&ten, &trusted, &args, "/").unwrap();
        assert_eq!(got.to_lowercase(), format!("app:a {said} https"));
    }
    let echoed = curl(&ten, &trusted, &[], "/headers").unwrap();
    assert!(echoed.contains("x-forwarded-proto: https"), "{echoed}");
    let spawned = ten.cli(&["spawn", "app:b"]);
    let url = format!("https://b.app.localhost:{}", ten.address().port());
    assert!(spawned.stdout.contains(&url), "{spawned:?}");
}

#[test]
fn plain_http_is_sent_on() {
    let ten = https().start();
    let lines = ten.server_lines();
    let sends = lines.iter().find_map(|line| line.split_once("sending clients of http://"));
    let plain = sends.and_then(|(_, rest)| rest.split(' ').next()).unwrap();
    let https = ten.url(HOST, "/x?y=z");
    for address in [plain, &ten.address().to_string()] {
        let output = Command::new("curl")
            .args([
                "-sS",
                "--noproxy",
                "*",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{redirect_url}",
            ])
            .args(["-H", &format!("host: {HOST}"), &format!("http://{address}/x?y=z")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("308 {https}"));
    }
}

#[test]
fn a_certificate_is_replaced_while_it_is_served() {
    let ten = https().start();
    let old = certificate(&ten);
    assert!(curl(&ten, &old, &[], "/").is_ok());
    // One that cannot be used changes nothing.
    fs::write(ten.key(), pair(&[HOST]).1).unwrap();
    let said = |what: &str| ten.server_lines().iter().any(|line| line.contains(what));
    ten.wait_until("it is found to be of no use", SOON, || {
        assert!(curl(&ten, &old, &[], "/").is_ok());
        said("the key is not that of the first certificate")
    });
    ten.renew_certificate();
    let new = certificate(&ten);
    ten.wait_until("the new one is served", SOON, || curl(&ten, &new, &[], "/").is_ok());
    assert!(curl(&ten, &old, &[], "/").unwrap_err().contains("certificate"));
    // A front that comes after never serves what was there when the server was started: not even to
    // those who wait for it.
    let warden = ten.warden();
    ten.signal(warden, Signal::STOP);
    ten.signal(ten.front().unwrap(), Signal::KILL);
    thread::scope(|scope| {
        let client = || scope.spawn(|| ask(&ten, &ten.certificate(), &[], "/"));
        let waiting: Vec<_> = (0..20).map(|_| client()).collect();
        ten.wait_until("all of them wait", PATIENCE, || connections(&ten) >= waiting.len());
        ten.signal(warden, Signal::CONT);
        for client in waiting {
            client.join().unwrap().unwrap();
        }
    });
}

/// Connections to the server that its kernel has accepted (proc(5): /proc/net/tcp; 01 is established).
fn connections(ten: &Ten) -> usize {
    let local = format!("0100007F:{:04X}", ten.address().port());
    let is_ours = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next() == Some(local.as_str()) && columns.nth(1) == Some("01")
    };
    fs::read_to_string("/proc/net/tcp").unwrap().lines().filter(is_ours).count()
}

#[test]
fn what_cannot_be_served_is_said_before_anything_runs() {
    let ten = https().prepare();
    let serve = |args: &[&str]| {
        let output = ten.cli(&[&["serve", "--bind", "127.0.0.1"], args].concat());
        (output.code, output.stderr)
    };
    for (args, want) in [
        (&["--port", "8080"][..], "https_port"),
        (&["--tls", "--email", "a@example.com"], "--email is not supported yet"),
        (&["--tls", "--staging"], "--staging is not supported yet"),
    ] {
        let (code, said) = serve(args);
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert!(said.contains(want), "{args:?}: {said}");
    }
    let fails = |args: &[&str], want: &str| {
        let (code, said) = serve(args);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(want), "{said}");
    };
    fs::write(ten.key(), pair(&[HOST]).1).unwrap();
    fails(&[], "the key is not that of the first certificate");
    let doctor = ten.cli(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.stdout.contains("the key is not that of the first certificate"), "{doctor:?}");
    fs::remove_file(ten.certificate()).unwrap();
    fails(&[], "chain.pem: No such file");
    ten.write_config(&app("", ""));
    fails(&["--tls"], "[settings.tls]");
}

#[test]
fn operators_reach_the_server_over_https() {
    let ten = Ten::with_config(&app("", "")).https(&[HOST, "localhost"]).start();
    let token = ten.cli(&["token-gen"]).stdout;
    let token = token.lines().find_map(|line| line.strip_prefix("  ")).unwrap();
    let ps = |url: String, trusted: &[(&str, &std::path::Path)]| {
        let mut command = ten.command();
        command.env_remove("SSL_CERT_FILE").env("SSL_CERT_DIR", "/nowhere");
        let output = command
            .envs(trusted.iter().copied())
            .args(["ps", "--json", "--server", &url, "--token", token])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let port = ten.address().port();
    let certificate = ten.certificate();
    let trusted = [("SSL_CERT_FILE", certificate.as_path())];
    let (code, said) = ps(format!("https://localhost:{port}"), &trusted);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("instances"), "{said}");
    let stranger = certificate.with_file_name("stranger.pem");
    fs::write(&stranger, pair(&["localhost"]).0).unwrap();
    let other = [("SSL_CERT_FILE", stranger.as_path())];
    let plain = Ten::with_config(&app("", "")).start();
    // For another name than the certificate's, signed by a stranger, by nobody, and without TLS.
    for (url, trusted, code, want) in [
        (format!("https://127.0.0.1:{port}"), &trusted[..], 3, "name the host that it is for"),
        (format!("https://localhost:{port}"), &other, 3, "SSL_CERT_FILE names a file"),
        (format!("https://localhost:{port}"), &[], 3, "this host trusts no authority"),
        (format!("https://localhost:{}", plain.address().port()), &trusted, 3, "http://HOST:PORT"),
        (format!("http://localhost:{port}"), &trusted[..], 1, "--server https://"),
    ] {
        let (got, said) = ps(url, trusted);
        assert_eq!(got, Some(code), "{said}");
        assert!(said.contains(want), "{said}");
    }
}

/// The workdir is shown to instances, and here the key lies in it.
#[test]
fn no_instance_starts_that_could_read_the_key() {
    if !has_root() {
        return;
    }
    let ten = https().start();
    let allow = |mode| fs::set_permissions(ten.key(), fs::Permissions::from_mode(mode)).unwrap();
    allow(0o644);
    let spawned = ten.cli(&["spawn", "app:a"]);
    assert_eq!(spawned.code, Some(1), "{spawned:?}");
    assert!(spawned.stderr.contains("could be read by the instance"), "{spawned:?}");
    allow(0o600);
    let spawned = ten.cli(&["spawn", "app:a"]);
    assert_eq!(spawned.code, Some(0), "{spawned:?}");
}

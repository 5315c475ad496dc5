//! Private networks, with the kernel that most servers have and modules that it may lack.

use std::fs;

use ten_testkit::Ten;

pub(super) fn a_private_network_can_be_made() {
    let config = "[service.app]\ncommand = \"@tenant\"\nlisten = \"port\"\nstop_timeout = 0.2\n\
                  network = \"private\"\n";
    let ten = Ten::with_config(config).start();
    let refused = ten.cli(&["spawn", "app:a"]);
    assert!(refused.stderr.contains("sysctl net.ipv4.ip_forward=1"), "{refused:?}");
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    let doctor = ten.cli(&["doctor", "--port", "0"]);
    assert!(doctor.stdout.contains("ok       private network"), "{doctor:?}");
    for id in ["b", "c"] {
        let host = format!("{id}.app.localhost");
        assert_eq!(ten.get(&host, "/").text(), format!("app:{id}"));
        let file = ten.get(&host, "/read?path=/etc/resolv.conf").text();
        assert_eq!(file, "nameserver 192.0.2.53\n");
    }
    let devices = || fs::read_to_string("/proc/net/dev").unwrap();
    assert!(devices().contains("ten-"), "{}", devices());
    drop(ten);
    assert!(!devices().contains("ten-"), "{}", devices());
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
}

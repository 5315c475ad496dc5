//! `[settings]` and the tables in it, key by key.

use ten_domain::{ProxySettings, Settings, TlsSettings};

use super::show::Table;

pub(super) fn tables(settings: &Settings) -> Vec<Table> {
    let mut table = Table::new(&["settings"]);
    let millis = |time: std::time::Duration| time.as_millis() as u64;
    table.row("data_dir", settings.data_dir.display().to_string());
    table.row("max_restarts", settings.crash_limit.max_restarts);
    table.row("restart_window", settings.crash_limit.window);
    table.row("backoff_base_ms", millis(settings.backoff.base));
    table.row("backoff_max_ms", millis(settings.backoff.max));
    table.row("trash_retention", settings.trash_retention);
    table.row_given("admin_host", settings.admin_host.clone());
    let trusted = settings.proxy.trusted_proxies.iter().map(ToString::to_string);
    table.row("trusted_proxies", trusted.collect::<Vec<_>>());
    table.row("proxy_protocol", settings.proxy.proxy_protocol);
    table.row("access_log", settings.proxy.access_log.word());
    let tls = settings.tls.as_ref().map(tls);
    [table, proxy(&settings.proxy)].into_iter().chain(tls).collect()
}

fn tls(tls: &TlsSettings) -> Table {
    let mut table = Table::new(&["settings", "tls"]);
    table.row("enabled", tls.enabled);
    table.row("cert_file", tls.cert_file.display().to_string());
    table.row("key_file", tls.key_file.display().to_string());
    table.row("https_port", tls.https_port);
    table.row("http_port", tls.http_port);
    table
}

fn proxy(proxy: &ProxySettings) -> Table {
    let mut table = Table::new(&["settings", "proxy"]);
    table.row("head_timeout", proxy.head_timeout);
    table.row("idle_timeout", proxy.idle_timeout);
    table.row("body_timeout", proxy.body_timeout);
    table.row("min_body_rate", proxy.min_body_rate);
    table.row("max_head_bytes", proxy.max_head_bytes);
    table.row("max_headers", proxy.max_headers);
    table.row("max_connections", proxy.max_connections);
    table.row("max_connections_per_ip", proxy.max_connections_per_ip);
    table.row("max_streams", proxy.max_streams);
    table.row("max_useless_frames", proxy.max_useless_frames);
    table.row("useless_frames_per_second", proxy.useless_frames_per_second);
    table.row("max_new_instances_per_ip", proxy.max_new_instances_per_ip);
    table.row("drain_timeout", proxy.drain_timeout);
    table.row_given("error_pages", proxy.error_pages.as_ref().map(|at| at.display().to_string()));
    table
}

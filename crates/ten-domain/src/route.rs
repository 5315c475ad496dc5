//! Host and path → what answers. A pure look-up, made anew from each configuration.
//!
//! ```text
//! {id}.{service}.{domain}  {id}--{service}.{domain}   that instance
//! [routing.subdomain]      {subdomain}.{domain}       a service
//! {service}.{domain}                                  a service
//! [routing.path], default  {domain}                   a service
//! {domain} where [routing] puts nothing there, admin_host, localhost, own address
//!                                                     the management surface
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{Config, Host, InstanceName, Listen, ServiceName};

/// What answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// This instance, known or not.
    Instance(InstanceName),
    /// One of this service's instances, by weight.
    Service(ServiceName),
    /// ten itself.
    Management,
}

/// Why nothing answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such host: 404.
    #[error("unknown host")]
    Unknown,
    /// The TLS connection was made for another name: 421 (RFC 9110, section 15.5.20).
    #[error("the connection was made for another host")]
    Misdirected,
}

/// Every rule of one configuration, ready for look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    domain: String,
    admin_host: Option<String>,
    /// Services that listen; a worker has no routes.
    services: BTreeSet<ServiceName>,
    subdomains: BTreeMap<String, ServiceName>,
    /// Longest first.
    paths: Vec<(String, ServiceName)>,
    default: Option<ServiceName>,
}

impl RouteTable {
    /// The rules of `config` for a server whose domain is `domain` (lower case, no dot at its end).
    pub fn new(domain: &str, config: &Config) -> Self {
        let listens = |name: &ServiceName| config.services[name].listen != Listen::None;
        let routing = &config.routing;
        let mut paths: Vec<_> =
            routing.path.iter().map(|(path, to)| (path.clone(), to.clone())).collect();
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self {
            domain: domain.into(),
            admin_host: config.settings.admin_host.clone(),
            services: config.services.keys().filter(|name| listens(name)).cloned().collect(),
            subdomains: routing.subdomain.clone(),
            paths,
            default: routing.default.clone(),
        }
    }

    /// Finds what answers. `sni` is the name that the client's TLS hello gave, `local` the
    /// address on which the connection was accepted.
    pub fn resolve(
        &self,
        host: &Host,
        path: &str,
        sni: Option<&str>,
        local: Option<IpAddr>,
    ) -> Result<Route, RouteError> {
        let name = match host {
            Host::Ip(ip) if local.map(|l| l.to_canonical()) == Some(*ip) => {
                return Ok(Route::Management);
            }
            Host::Ip(_) => return Err(RouteError::Unknown),
            Host::Name(name) => name.as_str(),
        };
        if sni.is_some_and(|sni| !sni.eq_ignore_ascii_case(name)) {
            return Err(RouteError::Misdirected);
        }
        if name == self.domain {
            return self.on_domain(path);
        }
        if name == "localhost" || self.admin_host.as_deref() == Some(name) {
            return Ok(Route::Management);
        }
        let prefix = name.strip_suffix(self.domain.as_str()).and_then(|p| p.strip_suffix('.'));
        self.below_domain(prefix.ok_or(RouteError::Unknown)?)
    }

    fn on_domain(&self, path: &str) -> Result<Route, RouteError> {
        let by_path = self.paths.iter().find(|(prefix, _)| covers(prefix, path));
        if let Some(service) = by_path.map(|(_, to)| to).or(self.default.as_ref()) {
            return Ok(Route::Service(service.clone()));
        }
        if self.paths.is_empty() { Ok(Route::Management) } else { Err(RouteError::Unknown) }
    }

    fn below_domain(&self, prefix: &str) -> Result<Route, RouteError> {
        let instance = prefix.split_once('.').or_else(|| prefix.split_once("--"));
        if let Some((id, service)) = instance {
            let service = self.services.get(service).ok_or(RouteError::Unknown)?;
            let id = id.parse().map_err(|_| RouteError::Unknown)?;
            return Ok(Route::Instance(InstanceName::new(service.clone(), id)));
        }
        self.subdomains
            .get(prefix)
            .or_else(|| self.services.get(prefix))
            .map(|service| Route::Service(service.clone()))
            .ok_or(RouteError::Unknown)
    }
}

/// Whether a path lies under a prefix, on whole segments: `/api` covers `/api` and
/// `/api/x`, not `/apix`.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;

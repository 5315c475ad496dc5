//! Whether a browser sent a change on behalf of another site.
//!
//! Tenants live on subdomains, so a hostile tenant's page is *same-site* with the management
//! host: only `same-origin` counts as our own.

use axum::extract::Request;
use http::header;

/// Whether the request changes something and comes from a page of another origin.
///
/// Clients that are not browsers send neither `Sec-Fetch-Site` (W3C Fetch Metadata, section 2.3)
/// nor `Origin` (RFC 6454, section 7), and pass. An `Origin` of `null` is nobody's own.
pub(super) fn is_foreign(request: &Request) -> bool {
    if request.method().is_safe() {
        return false;
    }
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return true;
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else {
        return false;
    };
    let own = request.uri().authority().map(|authority| authority.as_str());
    let own = own.or_else(|| text(header::HOST.as_str()));
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    match (authority, own) {
        (Some(authority), Some(own)) => !authority.eq_ignore_ascii_case(own),
        _ => true,
    }
}

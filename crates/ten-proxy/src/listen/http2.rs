//! One connection of HTTP/2 (RFC 9113), without TLS by prior knowledge.

use bytes::BytesMut;

use super::Client;
use crate::{Management, Proxy, Upstreams};

/// Serves requests side by side. `read` is what the client has sent so far, its preface first.
pub(super) async fn serve<U: Upstreams, M: Management>(
    _proxy: Proxy<U, M>,
    _client: Client,
    _read: BytesMut,
) -> hyper::Result<()> {
    Ok(())
}

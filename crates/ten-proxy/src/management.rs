//! What the data plane hands requests to that are for ten itself.

use std::{future::Future, net::SocketAddr};

use http::{Request, Response};

use crate::{ManagementBody, RequestBody};

/// The management surface: dashboard, API, metrics. It authorises its callers itself.
pub trait Management: Clone + Send + Sync + 'static {
    /// Answers one request. Its head has passed the checks of the data plane, its Host is one
    /// of the management hosts, and its `X-Request-Id` is the data plane's own.
    fn call(
        &self,
        request: Request<RequestBody>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<ManagementBody>> + Send;
}

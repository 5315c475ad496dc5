//! Requests that reached ten over the network and are for ten itself, handed to the API.

use std::net::SocketAddr;

use axum::Router;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use ten_proxy::{Management, ManagementBody, RequestBody};
use tower_service::Service as _;

/// The API, as the proxy sees it. Its callers need tokens: nothing here vouches for them.
#[derive(Debug, Clone)]
pub(crate) struct ToApi(pub(crate) Router);

impl Management for ToApi {
    async fn call(
        &self,
        request: Request<RequestBody>,
        _peer: SocketAddr,
    ) -> Response<ManagementBody> {
        // A router is always ready, and cannot fail.
        let Ok(response) = self.0.clone().call(request).await;
        let mut response = response.map(|body| body.map_err(Into::into).boxed_unsync());
        // It speaks for no instance.
        response.headers_mut().insert("x-ten-state", HeaderValue::from_static("unknown"));
        response
    }
}

//! The management API: from a request to the supervisor and back.
//!
//! ```text
//! request ─ authenticate ─ extract ─ convert ─ Fleet / Logs ─ convert ─ JSON
//!               └─────────────┴─────────┴──────────┴─► Refused(Problem)
//! ```
//!
//! A handler asks and converts; it decides nothing. There is no route here for pages, metrics
//! or tenants, and no listener.

mod data;
mod exec;
mod extract;
mod instances;
mod logs;
mod server;
mod services;
mod trash;

use std::sync::Arc;

use axum::{
    Router,
    extract::FromRef,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use http::{StatusCode, Uri, header};
use ten_api::{Problem, ProblemType, paths};
use ten_domain::Config;
use ten_logs::Logs;
use ten_supervisor::Fleet;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    archive::Archives,
    auth::{self, Auth},
    convert::Site,
};

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    /// Everything that runs.
    pub fleet: Fleet,
    /// What it says.
    pub logs: Logs,
    /// Where backups are made.
    pub archives: Arc<Archives>,
    /// Places for commands inside instances.
    pub commands: Arc<Semaphore>,
    /// The config in force.
    pub config: Arc<Config>,
    /// How browsers reach the server.
    pub site: Arc<Site>,
    /// What callers are measured against.
    pub auth: Arc<Auth>,
    /// Cancelled when the server begins to shut down: `/health` says so, and log streams end.
    pub stopping: CancellationToken,
}

impl FromRef<Api> for Arc<Auth> {
    fn from_ref(api: &Api) -> Self {
        Self::clone(&api.auth)
    }
}

/// The management API with every path of [`ten_api::paths`].
///
/// Requests of the admin socket must carry a [`Peer`](auth::Peer) in their extensions; all
/// others need a token, but for `/health`.
pub fn router(api: Api) -> Router {
    Router::new()
        .route(paths::INSTANCES, get(instances::list).post(instances::spawn))
        .route(paths::INSTANCE, get(instances::show).delete(instances::remove))
        .route(paths::INSTANCE_STOP, post(instances::stop))
        .route(paths::INSTANCE_RESTART, post(instances::restart))
        .route(paths::INSTANCE_EXEC, post(exec::exec))
        .route(paths::INSTANCE_DATA, get(data::backup).put(data::restore))
        .route(paths::INSTANCE_RESTORE, post(trash::restore))
        .route(paths::TRASH, get(trash::list))
        .route(paths::INSTANCE_WEIGHT, put(instances::set_weight))
        .route(paths::INSTANCE_HEALTH, get(instances::health))
        .route(paths::SERVICES, get(services::list))
        .route(paths::LOGS, get(logs::list))
        .route(paths::LOGS_STREAM, get(logs::follow))
        .route_layer(middleware::from_fn_with_state(api.clone(), auth::authenticate))
        .route(paths::HEALTH, get(server::health))
        .method_not_allowed_fallback(bad_method)
        .fallback(unknown_path)
        .with_state(api)
}

/// A request that was not carried out, as its answer.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(&problem)).into_response();
        let media_type = header::HeaderValue::from_static(Problem::MEDIA_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if problem.kind == ProblemType::Unauthenticated {
            // RFC 9110, section 11.6.1: a 401 names the scheme.
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

async fn unknown_path(uri: Uri) -> Refused {
    Refused(Problem::new(ProblemType::UnknownPath, format!("there is no {}", uri.path())))
}

async fn bad_method(method: http::Method, uri: Uri) -> Refused {
    let detail = format!("{} does not take {method}", uri.path());
    Refused(Problem::new(ProblemType::BadMethod, detail))
}

//! `/health`: what load balancers and service managers ask.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use ten_api::{Problem, ProblemType, ServerHealth};

use super::{Api, Refused};

pub(super) async fn health(State(api): State<Api>) -> Response {
    if api.stopping.is_cancelled() {
        let detail = "the server finishes the requests that it has and takes no new ones";
        return Refused(Problem::new(ProblemType::ShuttingDown, detail)).into_response();
    }
    let (status, version) = ("ok".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Json(ServerHealth { status, version }).into_response()
}

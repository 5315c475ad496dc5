//! `/api/logs` and its stream.

use std::convert::Infallible;

use axum::{
    Json,
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use ten_api::{LogList, LogQuery};
use ten_logs::Followed;

use super::{Api, Refused, extract::Params};
use crate::convert;

pub(super) async fn list(
    State(api): State<Api>,
    Params(query): Params<LogQuery>,
) -> Result<Json<LogList>, Refused> {
    let query = convert::query(query)?;
    // A search reads every line that is kept: too long for a thread that carries requests.
    let search = tokio::task::spawn_blocking(move || api.logs.query(&query));
    let lines = search.await.map_err(|error| Refused(convert::internal(&error)))?;
    Ok(Json(LogList { lines: lines.into_iter().map(convert::line).collect() }))
}

/// Server-sent events (WHATWG HTML, section 9.2): a line each, and `missed` where the reader
/// was too slow. The stream ends when the server begins to shut down.
pub(super) async fn follow(
    State(api): State<Api>,
    Params(query): Params<LogQuery>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let query = convert::query(query)?;
    let logs = api.logs.clone();
    let start = tokio::task::spawn_blocking(move || logs.follow(query));
    let follower = start.await.map_err(|error| Refused(convert::internal(&error)))?;
    let next = |(mut follower, stopping): (ten_logs::Follower, _)| async move {
        let stopping: tokio_util::sync::CancellationToken = stopping;
        let followed = stopping.run_until_cancelled(follower.next()).await?;
        Some((Ok(event(followed)), (follower, stopping)))
    };
    Ok(Sse::new(stream::unfold((follower, api.stopping), next)).keep_alive(KeepAlive::default()))
}

fn event(followed: Followed) -> Event {
    match followed {
        // Neither can fail: the shapes are plain, and JSON has no line break outside strings.
        Followed::Line(line) => Event::default().json_data(convert::line(line)).unwrap_or_default(),
        Followed::Missed(count) => Event::default().event("missed").data(count.to_string()),
    }
}

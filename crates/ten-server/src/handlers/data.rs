//! `/api/instances/{service}/{id}/data`: a backup, there and back.

use axum::{Json, body::Body, extract::State, response::Response};
use http::{HeaderMap, header};
use ten_api::{BACKUP_FAILURE, Problem, ProblemType, Replace, Restored};

use super::{
    Api, Refused,
    extract::{Named, Params},
};
use crate::convert;

/// The media type of an archive (RFC 8878, section 7.1, for its compression).
const MEDIA_TYPE: &str = "application/zstd";

pub(super) async fn backup(
    State(api): State<Api>,
    Named(name): Named,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let storage = api.fleet.places(&name).map_err(|denied| Refused(convert::denied(denied)))?;
    // It changes nothing, and so is no command; but who takes all data is worth a line.
    tracing::info!(instance = %name, "a backup is taken");
    let te = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    let trailers = te.flat_map(|value| value.split(',')).any(|coding| coding.trim() == "trailers");
    let archive = api.archives.pack(&api.fleet, &name, &storage, trailers).await;
    let archive = archive.map_err(|error| Refused(convert::failed(&error)))?;
    let mut response = Response::new(archive.map_err(|why| {
        let problem = Problem::new(ProblemType::NotBackedUp, why);
        Refused(problem.with_hint("mend that, then ask again; nothing was changed"))
    })?);
    if trailers {
        let announced = header::HeaderValue::from_static(BACKUP_FAILURE);
        response.headers_mut().insert(header::TRAILER, announced);
    }
    let media_type = header::HeaderValue::from_static(MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    Ok(response)
}

pub(super) async fn restore(
    State(api): State<Api>,
    Named(name): Named,
    Params(Replace { replace }): Params<Replace>,
    archive: Body,
) -> Result<Json<Restored>, Refused> {
    let denied = |denied| Refused(convert::denied(denied));
    let import = api.fleet.import(&name, replace).await.map_err(denied)?;
    let unpacked = api.archives.unpack(&import, archive).await;
    let unpacked = unpacked.map_err(|error| Refused(convert::failed(&error)))?;
    unpacked.map_err(|why| {
        let problem = Problem::new(ProblemType::BadArchive, why);
        Refused(problem.with_hint("nothing was changed; is it a file of `ten backup`, and whole?"))
    })?;
    let restored = api.fleet.end_import(name, import, replace).await.map_err(denied)?;
    Ok(Json(convert::restored(restored)))
}

//! `/api/trash`, and what comes back from it.

use axum::{Json, extract::State};
use ten_api::{RestoreRequest, Restored, TrashList};

use super::{
    Api, Refused,
    extract::{Body, Named},
};
use crate::convert;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<TrashList>, Refused> {
    let trash = api.fleet.trash(None).await;
    let trash = trash.map_err(|denied| Refused(convert::denied(denied)))?;
    Ok(Json(TrashList { trash: trash.into_iter().map(convert::trashed).collect() }))
}

pub(super) async fn restore(
    State(api): State<Api>,
    Named(name): Named,
    Body(request): Body<RestoreRequest>,
) -> Result<Json<Restored>, Refused> {
    let at = request.at.map(|text| convert::moment("at", &text)).transpose()?;
    let restored = api.fleet.restore(name, at, request.replace).await;
    let restored = restored.map_err(|denied| Refused(convert::denied(denied)))?;
    Ok(Json(convert::restored(restored)))
}

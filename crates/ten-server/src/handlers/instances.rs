//! `/api/instances`: a function per verb.

use axum::{Json, extract::State};
use ten_api::{Done, Ended, HealthReport, Instance, InstanceList, KeepData, SpawnRequest, Weight};
use ten_domain::InstanceName;
use ten_supervisor::{Denied, InstanceView};

use super::{
    Api, Refused,
    extract::{Body, Named, Params},
};
use crate::convert;

pub(super) async fn list(State(api): State<Api>) -> Json<InstanceList> {
    let views = api.fleet.list();
    let instance = |view| convert::instance(view, &api.config, &api.site);
    Json(InstanceList { instances: views.into_iter().map(instance).collect() })
}

pub(super) async fn show(
    State(api): State<Api>,
    Named(name): Named,
) -> Result<Json<Instance>, Refused> {
    Ok(Json(convert::instance(find(&api, name)?, &api.config, &api.site)))
}

pub(super) async fn spawn(
    State(api): State<Api>,
    Body(request): Body<SpawnRequest>,
) -> Result<Json<Done>, Refused> {
    let name = convert::instance_name(&request.service, &request.id)?;
    answer(api.fleet.spawn(name, request.env.into_iter().collect(), request.wait).await)
}

pub(super) async fn stop(
    State(api): State<Api>,
    Named(name): Named,
    Params(KeepData { keep_data }): Params<KeepData>,
) -> Result<Json<Ended>, Refused> {
    ended(match keep_data {
        true => api.fleet.stop(name).await.map(kept),
        false => api.fleet.stop_and_discard(name).await,
    })
}

pub(super) async fn restart(
    State(api): State<Api>,
    Named(name): Named,
) -> Result<Json<Done>, Refused> {
    answer(api.fleet.restart(name).await)
}

pub(super) async fn remove(
    State(api): State<Api>,
    Named(name): Named,
    Params(KeepData { keep_data }): Params<KeepData>,
) -> Result<Json<Ended>, Refused> {
    ended(match keep_data {
        true => api.fleet.remove(name).await.map(kept),
        false => api.fleet.remove_and_discard(name).await,
    })
}

pub(super) async fn set_weight(
    State(api): State<Api>,
    Named(name): Named,
    Body(weight): Body<Weight>,
) -> Result<Json<Done>, Refused> {
    answer(api.fleet.set_weight(name, convert::weight(weight)?).await)
}

pub(super) async fn health(
    State(api): State<Api>,
    Named(name): Named,
) -> Result<Json<HealthReport>, Refused> {
    Ok(Json(convert::health(find(&api, name)?)))
}

/// The end of a command that leaves data alone.
fn kept(done: ten_supervisor::Done) -> ten_supervisor::Ended {
    ten_supervisor::Ended { done, trashed: None }
}

fn ended(end: Result<ten_supervisor::Ended, Denied>) -> Result<Json<Ended>, Refused> {
    match end {
        Ok(ended) => Ok(Json(convert::ended(ended))),
        Err(denied) => Err(Refused(convert::denied(denied))),
    }
}

fn find(api: &Api, name: InstanceName) -> Result<InstanceView, Refused> {
    let view = api.fleet.get(&name);
    view.ok_or_else(|| Refused(convert::denied(Denied::UnknownInstance(name))))
}

fn answer(end: Result<ten_supervisor::Done, Denied>) -> Result<Json<Done>, Refused> {
    match end {
        Ok(done) => Ok(Json(convert::done(done))),
        Err(denied) => Err(Refused(convert::denied(denied))),
    }
}

//! `/api/services`.

use axum::{Json, extract::State};
use ten_api::ServiceList;

use super::Api;
use crate::convert;

pub(super) async fn list(State(api): State<Api>) -> Json<ServiceList> {
    let views = api.fleet.list();
    let services = api.config.services.values().map(|spec| convert::service(spec, &views));
    Json(ServiceList { services: services.collect() })
}

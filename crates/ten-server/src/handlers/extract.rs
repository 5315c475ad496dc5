//! What handlers take from a request. Whatever is wrong with it becomes a problem document.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use http::request::Parts;
use serde::de::DeserializeOwned;
use ten_api::{Problem, ProblemType};
use ten_domain::InstanceName;

use super::Refused;
use crate::convert;

/// The instance that the path names.
pub(super) struct Named(pub(super) InstanceName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((service, id)) = path.map_err(|error| bad_request(&error.body_text()))?;
        Ok(Self(convert::instance_name(&service, &id)?))
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let body = Json::from_request(request, state).await;
        body.map(|Json(body)| Self(body)).map_err(|error| bad_request(&error.body_text()))
    }
}

/// The query string.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| bad_request(&error.body_text()))
    }
}

fn bad_request(detail: &str) -> Refused {
    Refused(Problem::new(ProblemType::BadRequest, detail))
}

//! The management API as methods: one per endpoint, over the admin Unix socket, HTTP or
//! HTTPS.
//!
//! ```text
//! Client::spawn ─► Target (socket | http:// | https://) ─► one connection ─► ten-api types back
//! ```
//!
//! Every call opens its own connection: a command makes one or two calls and exits. Nothing is
//! retried, since only the caller knows whether asking twice is harmless. There is no printing
//! here and no exit code; [`Error`] carries the facts that those are made of.

mod error;
mod exec;
mod follow;
mod target;
mod tls;
mod transfer;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use ten_api::{
    Done, Ended, HealthReport, Instance, InstanceList, KeepData, LogLine, LogList, LogQuery,
    RestoreRequest, Restored, ServerHealth, Service, ServiceList, SpawnRequest, TrashList, Trashed,
    Weight, paths,
};
use ten_domain::InstanceName;
use tokio::io::{AsyncRead, AsyncWrite};

pub use error::Error;
pub use exec::{ExecInput, ExecOutput, Said};
pub use follow::{Followed, Following};
pub use target::{Target, TargetError};
pub use tls::Distrust;
pub use transfer::TransferError;

/// A server, and the right to talk to it.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
    token: Option<String>,
}

impl Client {
    /// A client of this server. The token goes along as `Authorization: Bearer`; the admin
    /// socket needs none.
    pub fn new(target: Target, token: Option<String>) -> Self {
        Self { target, token }
    }

    /// Where the server is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the server serves.
    pub async fn server_health(&self) -> Result<ServerHealth, Error> {
        self.get(paths::HEALTH).await
    }

    /// Every known instance, sorted by name.
    pub async fn instances(&self) -> Result<Vec<Instance>, Error> {
        let list: InstanceList = self.get(paths::INSTANCES).await?;
        Ok(list.instances)
    }

    /// One instance.
    pub async fn instance(&self, name: &InstanceName) -> Result<Instance, Error> {
        self.get(&paths::instance(name.service.as_str(), name.id.as_str())).await
    }

    /// Starts an instance; with `wait`, ends when its listener accepts.
    pub async fn spawn(&self, request: &SpawnRequest) -> Result<Done, Error> {
        self.call(Method::POST, paths::INSTANCES, Some(request)).await
    }

    /// Drains and stops. Ends when nothing of it is left.
    pub async fn stop(&self, name: &InstanceName, keep_data: bool) -> Result<Ended, Error> {
        let path = paths::instance_stop(name.service.as_str(), name.id.as_str());
        let path = with_query(&path, &KeepData { keep_data })?;
        self.call(Method::POST, &path, NO_BODY).await
    }

    /// Stops and starts again. Ends when it is ready.
    pub async fn restart(&self, name: &InstanceName) -> Result<Done, Error> {
        let path = paths::instance_restart(name.service.as_str(), name.id.as_str());
        self.call(Method::POST, &path, NO_BODY).await
    }

    /// Stops and forgets. Ends when nothing of it is left.
    pub async fn remove(&self, name: &InstanceName, keep_data: bool) -> Result<Ended, Error> {
        let path = paths::instance(name.service.as_str(), name.id.as_str());
        let path = with_query(&path, &KeepData { keep_data })?;
        self.call(Method::DELETE, &path, NO_BODY).await
    }

    /// What is in the trash; the oldest of each instance first.
    pub async fn trash(&self) -> Result<Vec<Trashed>, Error> {
        let list: TrashList = self.get(paths::TRASH).await?;
        Ok(list.trash)
    }

    /// Brings data back from the trash.
    pub async fn restore(
        &self,
        name: &InstanceName,
        request: &RestoreRequest,
    ) -> Result<Restored, Error> {
        let path = paths::instance_restore(name.service.as_str(), name.id.as_str());
        self.call(Method::POST, &path, Some(request)).await
    }

    /// Sets its share of its service's traffic.
    pub async fn set_weight(&self, name: &InstanceName, weight: u8) -> Result<Done, Error> {
        let path = paths::instance_weight(name.service.as_str(), name.id.as_str());
        self.call(Method::PUT, &path, Some(&Weight { weight })).await
    }

    /// The health of one instance.
    pub async fn health(&self, name: &InstanceName) -> Result<HealthReport, Error> {
        self.get(&paths::instance_health(name.service.as_str(), name.id.as_str())).await
    }

    /// Every service of the server's config, sorted by name.
    pub async fn services(&self) -> Result<Vec<Service>, Error> {
        let list: ServiceList = self.get(paths::SERVICES).await?;
        Ok(list.services)
    }

    /// Log lines that were written already, oldest first.
    pub async fn logs(&self, query: &LogQuery) -> Result<Vec<LogLine>, Error> {
        let list: LogList = self.get(&with_query(paths::LOGS, query)?).await?;
        Ok(list.lines)
    }

    /// Log lines as they are written, after those that were written already.
    pub async fn follow_logs(&self, query: &LogQuery) -> Result<Following, Error> {
        let path = with_query(paths::LOGS_STREAM, query)?;
        let response = self.send(Method::GET, &path, NO_BODY).await?;
        Ok(Following::new(self.target.clone(), response.into_body()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, NO_BODY).await
    }

    async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, Error> {
        let response = self.send(method, path, body).await?;
        self.understood(path, response).await
    }

    async fn understood<T: DeserializeOwned>(
        &self,
        path: &str,
        response: Response<Incoming>,
    ) -> Result<T, Error> {
        let bytes = self.read(response).await?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Unreadable {
            target: self.target.clone(),
            path: path.to_owned(),
            source,
        })
    }

    /// Sends one request and returns its answer if that is a 2xx.
    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Response<Incoming>, Error> {
        let bytes = match body {
            Some(body) => {
                serde_json::to_vec(body).map_err(|source| Error::Unsendable(source.to_string()))?
            }
            None => Vec::new(),
        };
        let media_type = body.map(|_| "application/json");
        self.deliver(self.request(method, path, media_type, Full::from(bytes))?).await
    }

    /// Delivers a request and returns its answer if that is a 2xx.
    async fn deliver<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Error>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let response = match self.target.connect().await? {
            target::Connection::Unix(stream) => self.exchange(stream, request).await?,
            target::Connection::Tcp(stream) => self.exchange(stream, request).await?,
            target::Connection::Tls(stream) => self.exchange(*stream, request).await?,
        };
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response).await)
        }
    }

    fn request<B>(
        &self,
        method: Method,
        path: &str,
        media_type: Option<&str>,
        body: B,
    ) -> Result<Request<B>, Error> {
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.target.authority())
            .header(header::USER_AGENT, concat!("ten/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(media_type) = media_type {
            builder = builder.header(header::CONTENT_TYPE, media_type);
        }
        builder.body(body).map_err(|source| Error::Unsendable(source.to_string()))
    }

    async fn exchange<S, B>(
        &self,
        stream: S,
        request: Request<B>,
    ) -> Result<Response<Incoming>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let broken = |source| Error::Broken { target: self.target.clone(), source };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Its error, if any, is also the error of the request or of its body.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, Error> {
        let body = response.into_body().collect().await;
        Ok(body.map_err(|source| Error::Broken { target: self.target.clone(), source })?.to_bytes())
    }

    async fn refused(&self, response: Response<Incoming>) -> Error {
        let status: StatusCode = response.status();
        match self.read(response).await {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(problem) => Error::Problem(problem),
                Err(_) => Error::NotTenement { target: self.target.clone(), status },
            },
            Err(error) => error,
        }
    }
}

/// The type of a body that is not there.
const NO_BODY: Option<&()> = None;

fn with_query(path: &str, query: &impl Serialize) -> Result<String, Error> {
    let query = serde_urlencoded::to_string(query);
    let query = query.map_err(|source| Error::Unsendable(source.to_string()))?;
    Ok(format!("{path}?{query}"))
}

#[cfg(test)]
mod tests;

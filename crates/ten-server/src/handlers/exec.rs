//! `/api/instances/{service}/{id}/exec`: a command inside an instance.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body as Empty,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use hyper::upgrade::OnUpgrade;
use ten_api::{EXEC_PROTOCOL, ExecRequest, Problem, ProblemType};

use super::{
    Api, Refused,
    extract::{Body, Named},
};
use crate::{auth::Peer, convert, exec};

/// Answers 101 once the command was executed; the rest is said over the connection.
///
/// Not over the network: a token that was stolen would be a shell in every instance, and who
/// can log in on this host has the admin socket.
pub(super) async fn exec(
    State(api): State<Api>,
    Named(name): Named,
    peer: Option<Extension<Peer>>,
    upgrade: Option<Extension<OnUpgrade>>,
    Body(request): Body<ExecRequest>,
) -> Result<Response, Refused> {
    if peer.is_none() {
        let problem =
            Problem::new(ProblemType::Forbidden, "commands run over the admin socket alone");
        return Err(Refused(problem.with_hint("run `ten exec` on the server's own host")));
    }
    let Some(Extension(upgrade)) = upgrade else {
        let detail = format!("this takes a connection that is upgraded to {EXEC_PROTOCOL}");
        return Err(Refused(Problem::new(ProblemType::UpgradeRequired, detail)));
    };
    let place = Arc::clone(&api.commands).try_acquire_owned().map_err(|_| {
        let detail = format!("{} commands run inside instances already", exec::AT_ONCE);
        Refused(Problem::new(ProblemType::TooManyCommands, detail))
    })?;
    let line = convert::command_line(request);
    let inside = api.fleet.enter(&name).await;
    let inside = inside.map_err(|denied| Refused(convert::denied(denied)))?;
    // Its arguments may be secrets.
    let program = line.argv.first().cloned().unwrap_or_default();
    let running = inside.run(&line).await;
    let running = running.map_err(|not_run| Refused(convert::not_run(&not_run)))?;
    tracing::info!(instance = %name, program, "a command runs inside");
    tokio::spawn(async move {
        match exec::serve(upgrade, running).await {
            Ok(end) => tracing::info!(instance = %name, program, ?end, "a command ended"),
            Err(error) => {
                tracing::info!(instance = %name, program, "a command was ended: {error}");
            }
        }
        drop(place);
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, EXEC_PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers, Empty::empty()).into_response())
}

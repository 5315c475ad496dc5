//! A connection that has switched protocols: bytes both ways until both sides have ended.

use std::sync::Arc;

use http::HeaderValue;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::{Lease, listen::Client};

/// A client's wish to switch.
pub(crate) struct Upgrade {
    pub(crate) protocol: HeaderValue,
    pub(crate) client: OnUpgrade,
}

/// Starts the tunnel between a client that was answered 101 and the instance that said so.
/// The lease is held until it ends; it ends at the latest with the drain's deadline.
pub(crate) fn start<L: Lease>(on: Upgrade, instance: OnUpgrade, client: Arc<Client>, lease: L) {
    client.becomes_tunnel();
    tokio::spawn(async move {
        let mut drain = client.drain.clone();
        tokio::select! {
            () = run(on.client, instance) => {}
            () = drain.cut() => {}
        }
        drop((lease, client));
    });
}

async fn run(client: OnUpgrade, instance: OnUpgrade) {
    let both = async {
        let client: Upgraded = client.await?;
        Ok::<_, hyper::Error>((client, instance.await?))
    };
    let (client, instance) = match both.await {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "a side left while the tunnel was being made");
            return;
        }
    };
    let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
    if let Err(error) = copy_bidirectional(&mut client, &mut instance).await {
        tracing::debug!(%error, "tunnel broken off");
    }
}

//! TLS to a server, as this host trusts it.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Begins a session with a server of this name, or address, which must show a certificate for it
/// that an authority of this host has signed: those of its certificate store, or of
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` in their place.
pub(crate) async fn begin(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
    let invalid = |error: InvalidDnsNameError| io::Error::new(io::ErrorKind::InvalidInput, error);
    let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
    let connector = TlsConnector::from(Arc::new(config()?));
    connector.connect(name, stream).await
}

fn config() -> io::Result<ClientConfig> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // One that cannot be read has signed nothing that we would believe.
    if roots.add_parsable_certificates(found.certs).0 == 0 {
        let why = found.errors.first().map(ToString::to_string);
        return Err(io::Error::other(format!(
            "this host trusts no authority: {}",
            why.as_deref().unwrap_or("install ca-certificates, or name a file in SSL_CERT_FILE")
        )));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

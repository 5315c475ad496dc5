//! TLS to a server, as this host trusts it.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::{CertificateError, ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Why a server is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Its host is no name that a certificate could be for.
    #[error("{0:?} is no name and no address")]
    Name(String),
    /// There is nobody whose word would count.
    #[error("this host trusts no authority")]
    NoAuthority,
    /// It does not begin as TLS does.
    #[error("it does not speak TLS")]
    Plain(#[source] io::Error),
    /// Nobody whom this host trusts has signed its certificate.
    #[error("nobody whom this host trusts has signed its certificate")]
    Issuer(#[source] io::Error),
    /// Something else is wrong with its certificate, or with the session.
    #[error(transparent)]
    Other(io::Error),
}

impl Distrust {
    /// What to do about it, where something can be done here.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Name(_) => "write a name or an address: --server https://HOST:PORT",
            Self::NoAuthority => "install ca-certificates, or name a file in SSL_CERT_FILE",
            Self::Plain(_) => "does it serve HTTPS? if not, --server http://HOST:PORT",
            Self::Issuer(_) => {
                "SSL_CERT_FILE names a file with the authority that has signed it, or with the \
                 certificate itself where that is no authority's (CA:FALSE)"
            }
            Self::Other(_) => "mend the server's certificate, or name the host that it is for",
        }
    }

    fn of(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidMessage(_)) => Self::Plain(error),
            // The second, where somebody has the name of one who is trusted.
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Self::Issuer(error),
            _ => Self::Other(error),
        }
    }
}

/// Begins a session with a server of this name, or address, which must show a certificate for it
/// that an authority of this host has signed: those of its certificate store, or of
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` in their place.
pub(crate) async fn begin(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Distrust> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Distrust::Name(host.into()))?;
    TlsConnector::from(config()?).connect(name, stream).await.map_err(Distrust::of)
}

/// Read once: a store has a hundred certificates and more.
fn config() -> Result<Arc<ClientConfig>, Distrust> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    // One that cannot be read has signed nothing that we would believe.
    let found = rustls_native_certs::load_native_certs().certs;
    if roots.add_parsable_certificates(found).0 == 0 {
        return Err(Distrust::NoAuthority);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Distrust::Other(io::Error::other(error)))?;
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

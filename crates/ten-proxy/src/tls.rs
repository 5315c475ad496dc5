//! Who we are to clients that speak TLS.
//!
//! Which certificate a session begins with is somebody else's to know ([`Certificates`]); what is
//! agreed on beside it is decided here: TLS 1.2 and 1.3 with what rustls takes for safe, and HTTP/2
//! or HTTP/1.1 by ALPN (RFC 7301).

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::NoServerSessionStorage,
};

/// HTTP/2, as ALPN names it (RFC 9113, section 3.2).
pub(crate) const H2: &[u8] = b"h2";
/// HTTP/1.1, as ALPN names it (RFC 7301, section 6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// Whoever knows the certificates.
pub trait Certificates: fmt::Debug + Send + Sync {
    /// What a session begins with whose client asks for `name` (RFC 6066, section 3), or for none.
    /// The client waits for it, so it is there at once or soon.
    fn identity<'a>(
        &'a self,
        name: Option<&'a str>,
    ) -> Pin<Box<dyn Future<Output = Identity> + Send + 'a>>;
}

/// A chain of certificates and the key of the first of them. Clones share what sessions are
/// resumed with.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

/// Why a chain and a key are no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The chain is not readable as PEM (RFC 7468).
    #[error("the certificates are not PEM")]
    Chain(#[source] pem::Error),
    /// There is no certificate in it.
    #[error("there is no certificate in the file (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// There is no key that can be read.
    #[error(
        "there is no private key in the file (-----BEGIN PRIVATE KEY-----), or it is encrypted"
    )]
    Key(#[source] pem::Error),
    /// They do not belong together.
    #[error("the key is not that of the first certificate")]
    Mismatch,
    /// Nothing can be begun with them.
    #[error("they cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl Identity {
    /// Reads a chain, the server's own certificate first, and its key (PKCS #8, PKCS #1 or SEC 1),
    /// both PEM.
    ///
    /// # Errors
    /// If they are not that, or do not belong together. Neither who has signed the certificates nor
    /// until when they are valid is looked at: that is for clients to judge.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(IdentityError::Chain)?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(IdentityError::Key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(IdentityError::Unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    IdentityError::Mismatch
                }
                error => IdentityError::Unusable(error),
            })?;
        config.alpn_protocols = vec![H2.into(), HTTP_1_1.into()];
        // What is resumed is kept by clients.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(IdentityError::Unusable)?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

/// Nothing of the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{ClientConfig, RootCertStore};

    use super::*;

    /// A certificate for these names and its key, PEM.
    pub(crate) fn pair(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    /// A client that trusts these certificates, PEM, and nobody else.
    pub(crate) fn trusting(chains: &[String]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for chain in chains {
            roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
        }
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    #[test]
    fn what_is_no_identity_says_why() {
        let (chain, key) = pair(&["example.com"]);
        let (_, other) = pair(&["example.com"]);
        assert!(Identity::from_pem(chain.as_bytes(), key.as_bytes()).is_ok());
        // Some keep both in one file.
        let both = format!("{key}{chain}");
        assert!(Identity::from_pem(both.as_bytes(), both.as_bytes()).is_ok());
        let why = |chain: &str, key: &str| {
            Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(why(&chain, &other), "the key is not that of the first certificate");
        for (chain, key, want) in [
            ("", key.as_str(), "there is no certificate"),
            (key.as_str(), key.as_str(), "there is no certificate"),
            (chain.as_str(), "", "there is no private key"),
            (chain.as_str(), chain.as_str(), "there is no private key"),
            ("-----BEGIN CERTIFICATE-----\nx", key.as_str(), "not PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
                key.as_str(),
                "cannot be used",
            ),
        ] {
            assert!(why(chain, key).contains(want), "{chain} {key}: {}", why(chain, key));
        }
    }
}

//! The certificate of the config's own files.
//!
//! ```text
//! hello of a client ──▶ looked within LOOK_AGAIN? ──yes──▶ what is served
//!                                    └─no──▶ warden opens the files ──▶ other bytes? ──▶ read
//! ```
//!
//! They are looked at when a client comes, and by nobody while none does. Only whoever runs
//! `ten serve` may open them, and the front may not: the warden does, and hands them over. What cannot
//! be used changes nothing: while files are being replaced, one may be there before the other.

use std::{
    fmt,
    fs::File,
    future::Future,
    io::{self, Read as _},
    path::PathBuf,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use ten_domain::TlsSettings;
use ten_kernel::{open_regular, with_causes};
use ten_proxy::{Certificates, Identity, IdentityError};
use ten_warden::WardenHandle;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// The least time between two looks at the files.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a client waits for a look at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Largest file that is read, in bytes: a hundred times what a chain takes.
const MAX_FILE: u64 = 1 << 20;

/// A chain and its key, as their files have them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pem {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// Why HTTPS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// They are no certificate and its key.
    #[error("cannot use {cert_file} with {key_file}")]
    Identity {
        /// The chain.
        cert_file: PathBuf,
        /// The key.
        key_file: PathBuf,
        /// Why.
        #[source]
        source: IdentityError,
    },
}

impl CertificateError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "name files that exist, and run ten as a user who may read them: [settings.tls] \
                 cert_file and key_file"
            }
            Self::Identity { .. } => {
                "cert_file is the whole chain as PEM, the server's own certificate first, and key_file \
                 the key of that one, not encrypted"
            }
        }
    }
}

/// Whether HTTPS can be served with these files.
///
/// # Errors
/// If not.
pub fn check_certificate(settings: &TlsSettings) -> Result<(), CertificateError> {
    Pem::read(settings).map(drop)
}

impl Pem {
    /// What is in the files, which can be used.
    pub(crate) fn read(settings: &TlsSettings) -> Result<Self, CertificateError> {
        let TlsSettings { cert_file, key_file, .. } = settings;
        let [chain, key] = [cert_file, key_file].map(|path| {
            let read = open_regular(path).and_then(bounded);
            read.map_err(|source| CertificateError::File { path: path.clone(), source })
        });
        let pem = Self { chain: chain?, key: key? };
        match pem.identity() {
            Ok(_) => Ok(pem),
            Err(source) => {
                let (cert_file, key_file) = (cert_file.clone(), key_file.clone());
                Err(CertificateError::Identity { cert_file, key_file, source })
            }
        }
    }

    fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::from_pem(&self.chain, &self.key)
    }
}

/// A file to its end.
fn bounded(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Nothing of the key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").finish_non_exhaustive()
    }
}

/// What the warden says of the files.
pub(crate) type Shown = Result<Vec<File>, String>;

/// The one certificate, for whatever name a client asks.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    warden: WardenHandle,
    shown: tokio::sync::Mutex<mpsc::Receiver<Shown>>,
    served: Mutex<Served>,
}

#[derive(Debug)]
struct Served {
    identity: Identity,
    /// What it was read from.
    read: Pem,
    looked: Option<Instant>,
    /// What was wrong the last time: it is said once.
    wrong: Option<String>,
}

impl OwnFiles {
    /// Begins with what the files had in them when the server was started.
    pub(crate) fn new(
        pem: Pem,
        warden: WardenHandle,
        shown: mpsc::Receiver<Shown>,
    ) -> Result<Self, IdentityError> {
        let served = Served { identity: pem.identity()?, read: pem, looked: None, wrong: None };
        Ok(Self { warden, shown: tokio::sync::Mutex::new(shown), served: Mutex::new(served) })
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time for a look, which is then the caller's to take.
    fn is_due(&self) -> bool {
        let served = &mut *self.served();
        let due = served.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN);
        if due {
            served.looked = Some(Instant::now());
        }
        due
    }

    /// Looks at the files, if it is time for that.
    pub(crate) async fn look(&self) {
        if !self.is_due() {
            return;
        }
        let wrong = self.read_again().await.err();
        let served = &mut *self.served();
        if let Some(why) = wrong.as_ref().filter(|_| wrong != served.wrong) {
            tracing::warn!(why, "no certificate from its files; served is the one before");
        }
        served.wrong = wrong;
    }

    /// # Errors
    /// What is wrong, also where it is what was wrong before.
    async fn read_again(&self) -> Result<(), String> {
        let shown = async {
            let mut shown = self.shown.lock().await;
            // Answers that nobody waited for.
            while shown.try_recv().is_ok() {}
            self.warden.show();
            shown.recv().await
        };
        let files = timeout(PATIENCE, shown)
            .await
            .map_err(|_| format!("not opened within {PATIENCE:?}"))?;
        let files = files.ok_or("the warden is gone")??;
        let [chain, key] =
            <[File; 2]>::try_from(files).map_err(|files| format!("{} files", files.len()))?;
        let read = |file| bounded(file).map_err(|error| error.to_string());
        let pem = Pem { chain: read(chain)?, key: read(key)? };
        if self.served().read == pem {
            return Ok(());
        }
        let identity = pem.identity().map_err(|error| with_causes(&error))?;
        let served = &mut *self.served();
        (served.identity, served.read) = (identity, pem);
        tracing::info!("the certificate has changed");
        Ok(())
    }
}

impl Certificates for OwnFiles {
    fn identity<'a>(
        &'a self,
        _: Option<&'a str>,
    ) -> Pin<Box<dyn Future<Output = Identity> + Send + 'a>> {
        Box::pin(async {
            self.look().await;
            self.served().identity.clone()
        })
    }
}

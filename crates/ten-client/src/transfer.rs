//! Backups, there and back, a block at a time.

use std::{
    fs::File,
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, SizeHint};
use ten_api::{BACKUP_FAILURE, Replace, Restored, paths};
use ten_domain::InstanceName;

use crate::{Client, Error, with_query};

/// Bytes that are read and sent at once.
const BLOCK: usize = 64 * 1024;

/// Why a backup did not get through.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The server did not do it, or is gone.
    #[error(transparent)]
    Call(#[from] Error),
    /// The server began, and could not go on.
    #[error("{0}")]
    Failed(String),
    /// The connection ended before the backup did.
    #[error(transparent)]
    BrokenOff(Error),
    /// The file at this end cannot be read or written.
    #[error("cannot use the file")]
    File(#[source] io::Error),
}

impl Client {
    /// Writes a backup of the data of an instance into `file`, and says how many bytes it has.
    /// After an error, what is in `file` is not whole.
    pub async fn backup(
        &self,
        name: &InstanceName,
        file: &mut impl Write,
    ) -> Result<u64, TransferError> {
        let path = paths::instance_data(name.service.as_str(), name.id.as_str());
        let mut request = self.request(Method::GET, &path, None, Full::<Bytes>::default())?;
        // Why a backup that has begun is not whole comes behind it (RFC 9110, section 10.1.4).
        let te = [(header::TE, "trailers"), (header::CONNECTION, "te")];
        request
            .headers_mut()
            .extend(te.map(|(name, value)| (name, HeaderValue::from_static(value))));
        let mut body = self.deliver(request).await?.into_body();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let broken = |source| Error::Broken { target: self.target.clone(), source };
            match frame.map_err(broken).map_err(TransferError::BrokenOff)?.into_data() {
                Ok(block) => {
                    file.write_all(&block).map_err(TransferError::File)?;
                    size += block.len() as u64;
                }
                Err(other) => {
                    let trailers = other.into_trailers().unwrap_or_default();
                    if let Some(why) = trailers.get(BACKUP_FAILURE) {
                        let why = String::from_utf8_lossy(why.as_bytes()).into_owned();
                        return Err(TransferError::Failed(why));
                    }
                }
            }
        }
        Ok(size)
    }

    /// Brings the data of an instance back from a backup.
    pub async fn restore_backup(
        &self,
        name: &InstanceName,
        file: File,
        replace: bool,
    ) -> Result<Restored, TransferError> {
        let path = paths::instance_data(name.service.as_str(), name.id.as_str());
        let path = with_query(&path, &Replace { replace })?;
        let left = file.metadata().map_err(TransferError::File)?.len();
        let body = Upload { file, left };
        let request = self.request(Method::PUT, &path, Some("application/zstd"), body)?;
        let response = self.deliver(request).await?;
        Ok(self.understood(&path, response).await?)
    }
}

/// A file as a body. Reading it holds up the thread, which has nothing else to do.
struct Upload {
    file: File,
    left: u64,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut block = vec![0; BLOCK.min(usize::try_from(self.left).unwrap_or(BLOCK))];
        Poll::Ready(Some(match self.file.read(&mut block) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.left -= read as u64;
                block.truncate(read);
                Ok(Frame::data(block.into()))
            }
            Err(error) => Err(error),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

//! A command inside an instance: asked for, then spoken with over the same connection.

use std::io;

use http::{Method, StatusCode, header};
use http_body_util::Full;
use hyper::{client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use ten_api::{
    EXEC_PROTOCOL, ExecEnd, ExecRequest, FRAME_MAX, Frame, FrameKind, Frames, TerminalSize, paths,
};
use ten_domain::InstanceName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::{Client, Error, Target, target::Connection};

type Stream = TokioIo<Upgraded>;

/// What a command hears. Dropping both this and its [`ExecOutput`] ends the command.
#[derive(Debug)]
pub struct ExecInput(WriteHalf<Stream>);

/// What a command says.
#[derive(Debug)]
pub struct ExecOutput {
    target: Target,
    stream: ReadHalf<Stream>,
    frames: Frames,
    block: Vec<u8>,
}

/// One thing that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// On stdout, or on its terminal.
    Stdout(Vec<u8>),
    /// On stderr.
    Stderr(Vec<u8>),
    /// It has ended.
    End(ExecEnd),
}

impl Client {
    /// Runs a command inside an instance, which is spawned where it sleeps. Ends once the
    /// command was executed.
    pub async fn exec(
        &self,
        name: &InstanceName,
        request: &ExecRequest,
    ) -> Result<(ExecInput, ExecOutput), Error> {
        let path = paths::instance_exec(name.service.as_str(), name.id.as_str());
        let unsendable = |source: serde_json::Error| Error::Unsendable(source.to_string());
        let body = Full::from(serde_json::to_vec(request).map_err(unsendable)?);
        let mut request = self.request(Method::POST, &path, Some("application/json"), body)?;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, header::HeaderValue::from_static(EXEC_PROTOCOL));
        let broken = |source| Error::Broken { target: self.target().clone(), source };
        let response = match self.target().connect().await? {
            Connection::Unix(stream) => {
                let (mut sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
                // Its error, if any, is also the error of the request or of what follows it.
                tokio::spawn(connection.with_upgrades());
                sender.send_request(request).await.map_err(broken)?
            }
            // The server refuses it, and says why.
            Connection::Tcp(stream) => self.exchange(stream, request).await?,
            Connection::Tls(stream) => self.exchange(*stream, request).await?,
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refused(response).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        let (stream, sink) = tokio::io::split(TokioIo::new(upgraded));
        let target = self.target().clone();
        let (frames, block) = (Frames::default(), vec![0; FRAME_MAX]);
        Ok((ExecInput(sink), ExecOutput { target, stream, frames, block }))
    }
}

impl ExecInput {
    /// Writes to its stdin. An error says only that nobody listens any more; why is told by
    /// what it says.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for block in bytes.chunks(FRAME_MAX) {
            self.0.write_all(&Frame::encode(FrameKind::Stdin, block)).await?;
        }
        Ok(())
    }

    /// Ends its stdin.
    pub async fn end(&mut self) -> io::Result<()> {
        self.0.write_all(&Frame::encode(FrameKind::Stdin, &[])).await
    }

    /// Tells it the size of its terminal.
    pub async fn resize(&mut self, size: TerminalSize) -> io::Result<()> {
        self.0.write_all(&Frame::resize(size)).await
    }
}

impl ExecOutput {
    /// Waits for what it says next; the end comes last.
    pub async fn next(&mut self) -> Result<Said, Error> {
        let cut = |source| Error::Cut { target: self.target.clone(), source };
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        loop {
            if let Some(frame) = self.frames.take().map_err(|error| cut(bad(error)))? {
                return match frame.kind {
                    FrameKind::Stdout => Ok(Said::Stdout(frame.content)),
                    FrameKind::Stderr => Ok(Said::Stderr(frame.content)),
                    FrameKind::End => {
                        let end = serde_json::from_slice(&frame.content);
                        end.map(Said::End).map_err(|error| cut(error.into()))
                    }
                    FrameKind::Stdin | FrameKind::Resize => Err(cut(bad(ten_api::BadFrame))),
                };
            }
            match self.stream.read(&mut self.block).await {
                Ok(0) => return Err(cut(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => self.frames.push(&self.block[..read]),
                Err(error) => return Err(cut(error)),
            }
        }
    }
}

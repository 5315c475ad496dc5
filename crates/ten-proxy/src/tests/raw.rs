//! Raw connections and raw messages: what is sent and what comes, byte for byte.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

/// One end of a raw connection.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may have refused and closed in the middle; tests look at what it said.
        if let Err(error) = self.0.write_all(bytes.as_ref()).await {
            assert!(matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ));
        }
    }

    /// Reads up to and with `end`; `None` if the connection ends before.
    pub(crate) async fn until(&mut self, end: &str) -> Option<String> {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            match soon(self.0.read_u8()).await {
                Ok(byte) => read.push(byte),
                Err(_) => return None,
            }
        }
        Some(String::from_utf8(read).unwrap())
    }

    pub(crate) async fn head(&mut self) -> Option<String> {
        self.until("\r\n\r\n").await
    }

    /// Reads until the other side closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset after the answer is an end too.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Reads one whole request or answer, framed strictly. `None` if it never ends.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let mut message = self.head().await?;
        if let Some(length) = header(&message, "content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            soon(self.0.read_exact(&mut body)).await.ok()?;
            message.push_str(std::str::from_utf8(&body).unwrap());
        } else if header(&message, "transfer-encoding").is_some() {
            loop {
                let size = self.until("\r\n").await?;
                message.push_str(&size);
                if size == "0\r\n" {
                    let end = self.until("\r\n").await?;
                    message.push_str(&end);
                    if end != "\r\n" {
                        message.push_str(&self.until("\r\n").await?);
                    }
                    break;
                }
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                soon(self.0.read_exact(&mut chunk)).await.ok()?;
                message.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        }
        Some(message)
    }
}

/// The value of a header in a raw message; `None` where it is absent.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

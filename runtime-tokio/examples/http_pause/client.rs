//! A client of the example service that takes nothing for granted: whatever is no whole answer with
//! status 200 is an error, and so is a connection that ends without having been announced.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A client that keeps its connection for as long as it may.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
        }
    }

    /// Sends a request and reads the answer: the count.
    pub(crate) async fn request(&mut self, method: &str, keep: bool) -> Result<u64> {
        // After a failure it is not used again.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(self.address).await?),
        };
        let connection = if keep { "keep-alive" } else { "close" };
        let request = format!(
            "{method} /hits HTTP/1.1\r\nhost: test\r\nconnection: {connection}\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let status = line(&mut stream).await?;
        if status != "http/1.1 200 ok" {
            return Err(Error::other(status));
        }
        let (mut length, mut close) = (0, false);
        loop {
            let line = line(&mut stream).await?;
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().map_err(Error::other)?;
            }
            close |= line == "connection: close";
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        if !close {
            self.stream = Some(stream);
        }
        let body = String::from_utf8(body).map_err(Error::other)?;
        body.trim().parse().map_err(Error::other)
    }
}

/// A line of an answer's head.
async fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        let words = "closed without an answer, and without having said so before";
        return Err(Error::new(ErrorKind::UnexpectedEof, words));
    }
    Ok(line.trim().to_ascii_lowercase())
}

//! One connection: a request, then the pieces of its answer.

use super::PATIENCE;
use super::framing::{Framing, Piece, parse_head};
use super::target::Target;
use crate::failure::{Failure, Result};
use std::ops::Range;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A keep-alive connection to the server under test.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// What has arrived and is not yet told.
    unread: Range<usize>,
    closes: bool,
}

impl Connection {
    /// Connects. `buffer` bytes are read at most at a time; a response head must fit into it.
    ///
    /// # Errors
    /// When the server does not accept.
    pub async fn open(target: Target, buffer: usize) -> Result<Connection> {
        let stream = TcpStream::connect(target.address()).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; buffer].into_boxed_slice(), unread: 0..0, closes: false })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// When the connection breaks, the answer is not HTTP, or its status is not 200.
    pub async fn send(&mut self, request: &[u8]) -> Result<Response<'_>> {
        self.stream.write_all(request).await?;
        let head = loop {
            let arrived = &self.buffer[self.unread.clone()];
            if let Some(end) = memchr::memmem::find(arrived, b"\r\n\r\n") {
                let head = parse_head(&arrived[..end])?;
                self.unread.start += end + 4;
                break head;
            }
            if self.fill().await? == 0 {
                return Err(Failure::said("the server closed the connection"));
            }
        };
        if head.status != 200 {
            return Err(Failure::said(format!("the server answered {}", head.status)));
        }
        self.closes = head.closes;
        Ok(Response { connection: self, body: head.body })
    }

    /// Whether the server keeps the connection for another request.
    pub fn is_reusable(&self) -> bool {
        !self.closes
    }

    async fn fill(&mut self) -> Result<usize> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let space = &mut self.buffer[self.unread.end..];
        if space.is_empty() {
            return Err(Failure::said("a response head larger than the buffer"));
        }
        let read = self.stream.read(space).await?;
        self.unread.end += read;
        Ok(read)
    }
}

/// An answer being read. Read it to its end before the next request.
#[derive(Debug)]
pub struct Response<'a> {
    connection: &'a mut Connection,
    body: Framing,
}

impl Response<'_> {
    /// The next bytes of the body, as they come; None at its end.
    ///
    /// # Errors
    /// When the connection breaks or the framing is wrong.
    pub async fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            let arrived = self.connection.unread.clone();
            match self.body.advance(&self.connection.buffer[arrived.clone()])? {
                Piece::Data(length) => {
                    self.connection.unread.start += length;
                    return Ok(Some(&self.connection.buffer[arrived.start..arrived.start + length]));
                }
                Piece::Skip(length) => self.connection.unread.start += length,
                Piece::End => return Ok(None),
                Piece::More => {
                    if self.connection.fill().await? == 0 {
                        return match self.body {
                            Framing::UntilClose => Ok(None),
                            _ => Err(Failure::said("the answer was cut off")),
                        };
                    }
                }
            }
        }
    }

    /// The whole body, which must come within [`PATIENCE`].
    ///
    /// # Errors
    /// As [`Response::next`], and when it takes too long.
    pub async fn collect(mut self) -> Result<Vec<u8>> {
        let all = async {
            let mut all = Vec::new();
            while let Some(piece) = self.next().await? {
                all.extend_from_slice(piece);
            }
            Ok(all)
        };
        timeout(PATIENCE, all).await.map_err(|_| Failure::said("the answer took too long"))?
    }
}

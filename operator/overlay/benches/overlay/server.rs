//! The other process of a side, and what both bare sides say to each other.

use std::io;
use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{PIECE, QUESTION};

/// A server process; ends with this.
pub(crate) struct Server {
    process: Child,
    /// Its first line: how to reach it.
    pub(crate) said: String,
}

impl Server {
    pub(crate) fn start(kind: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", kind])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        io::BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        Self { process, said: said.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// Answers on a stream of bytes: a length of 0 asks for the answer to a question, any other for so many bytes.
pub(crate) async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let piece = vec![7; PIECE];
    loop {
        let mut left = usize::try_from(stream.read_u64().await?).unwrap();
        if left == 0 {
            let mut question = [0; QUESTION - size_of::<u64>()];
            stream.read_exact(&mut question).await?;
            stream.write_all(&[1]).await?;
        }
        while left > 0 {
            let now = left.min(PIECE);
            stream.write_all(&piece[..now]).await?;
            left -= now;
        }
        stream.flush().await?;
    }
}

/// Asks for so many bytes on a stream of bytes, and reads them.
pub(crate) async fn download(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: u64,
) -> io::Result<()> {
    stream.write_u64(bytes).await?;
    stream.flush().await?;
    let mut buffer = vec![0; PIECE];
    let mut left = usize::try_from(bytes).unwrap();
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left -= read,
        }
    }
    Ok(())
}

/// Asks a question on a stream of bytes.
pub(crate) async fn round_trip(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    stream.write_all(&[0; QUESTION]).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0]).await?;
    Ok(())
}

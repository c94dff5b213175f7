//! The artifact from the node agent, verified once more.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use coreward_artifact::unixfs::{self, Content};
use coreward_artifact::{Cid, Limits, car, parse};
use coreward_wire::{ArtifactFailure, ArtifactFault, ArtifactOrder};
use reqwest::{Client, StatusCode};
use tokio::time::{sleep, timeout};

use super::fault::Rejection;

/// To connect to the node agent.
const CONNECT: Duration = Duration::from_secs(3);
/// The wait for an archive: the node agent may be fetching it, and it has bounds of its own.
const ARCHIVE: Duration = Duration::from_secs(140);
/// How long a node agent that is not there, or does not know the artifact yet, is asked again without a word.
const ASKED_AGAIN: Duration = Duration::from_secs(10);
/// The pause before that.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes of a failure in words.
const FAILURE_BYTES: usize = 16 << 10;

/// A client for the node agent.
///
/// # Errors
///
/// If the TLS provider is not installed.
pub(crate) fn client() -> reqwest::Result<Client> {
    // It speaks plain HTTP on its node; reading the system's certificates is a good part of a start.
    let no_certificates = [];
    Client::builder().connect_timeout(CONNECT).no_proxy().tls_certs_only(no_certificates).build()
}

/// Gets the file or directory under the order's CID.
pub(super) async fn fetch(client: &Client, order: &ArtifactOrder) -> Result<Content, Rejection> {
    let root = parse(&order.cid)?;
    let limits = Limits::of_bytes(order.max_bytes);
    let archive = timeout(ARCHIVE, archive(client, order, &root, &limits)).await;
    let late = |_| {
        Rejection::for_now(
            ArtifactFault::GatewayUnreachable,
            "the node agent did not answer in time",
        )
    };
    let archive = archive.map_err(late)??;
    let blocks = car::read(archive, &root, &limits)?;
    Ok(unixfs::content(&root, &blocks, &limits)?)
}

/// What one question to the node agent came to.
enum Reply {
    Archive(Bytes),
    /// Ask again soon: it is starting, or its own assignment is on the way.
    NotYet(Rejection),
    Rejected(Rejection),
}

async fn archive(
    client: &Client,
    order: &ArtifactOrder,
    root: &Cid,
    limits: &Limits,
) -> Result<Bytes, Rejection> {
    let patience = tokio::time::Instant::now() + ASKED_AGAIN;
    loop {
        match ask(client, order, root, limits).await {
            Reply::Archive(bytes) => return Ok(bytes),
            Reply::Rejected(rejection) => return Err(rejection),
            Reply::NotYet(rejection) if tokio::time::Instant::now() > patience => {
                return Err(rejection);
            }
            Reply::NotYet(_) => sleep(AGAIN).await,
        }
    }
}

async fn ask(client: &Client, order: &ArtifactOrder, root: &Cid, limits: &Limits) -> Reply {
    let away = |error: reqwest::Error| {
        let message = format!("the node agent does not answer: {}", error.without_url());
        Reply::NotYet(Rejection::for_now(ArtifactFault::GatewayUnreachable, message))
    };
    let address = format!("{}/v1/artifact/{root}", order.from.trim_end_matches('/'));
    let mut response = match client.get(address).send().await {
        Ok(response) => response,
        Err(error) => return away(error),
    };
    let status = response.status();
    let most = if status == StatusCode::OK { car::longest(limits) } else { FAILURE_BYTES as u64 };
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 <= most => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                let message = format!("the archive has more than {most} bytes");
                return Reply::Rejected(Rejection::for_good(ArtifactFault::TooLarge, message));
            }
            Ok(None) => break,
            Err(error) => return away(error),
        }
    }
    match status {
        StatusCode::OK => Reply::Archive(body.freeze()),
        _ => refusal(status, &body),
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Reply {
    if let Ok(ArtifactFailure { fault, message }) = serde_json::from_slice(body) {
        let may_pass = match fault {
            ArtifactFault::GatewayUnreachable
            | ArtifactFault::NotFound
            | ArtifactFault::DigestMismatch => true,
            ArtifactFault::TooLarge | ArtifactFault::InvalidWasm | ArtifactFault::CompileLimit => {
                false
            }
        };
        let reject = if may_pass { Rejection::for_now } else { Rejection::for_good };
        return Reply::Rejected(reject(fault, message));
    }
    let message = format!("the node agent answered {status}");
    Reply::NotYet(Rejection::for_now(ArtifactFault::GatewayUnreachable, message))
}

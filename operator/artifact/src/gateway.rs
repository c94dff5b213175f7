//! The way to IPFS gateways: raw blocks, one request each, believed only when verified.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures::{StreamExt as _, stream};
use reqwest::StatusCode;
use reqwest::header::ACCEPT;

use crate::{Blocks, Error, Limits, identifier, unixfs};

/// Blocks of one artifact that are asked for at once.
const IN_FLIGHT: usize = 8;
/// What a trustless gateway calls a single block.
const RAW_BLOCK: &str = "application/vnd.ipld.raw";

/// IPFS gateways, in the order they are asked.
#[derive(Clone, Debug)]
pub struct Gateways {
    client: reqwest::Client,
    bases: Vec<String>,
}

/// What one gateway did when asked for a block.
enum Miss {
    Absent,
    Silent(String),
    Wrong(Error),
}

impl Gateways {
    /// Gateways by base address, e.g. `https://gateway.example`; a slash at the end is allowed.
    #[must_use]
    pub fn new(client: reqwest::Client, bases: &[String]) -> Self {
        Self {
            client,
            bases: bases.iter().map(|base| base.trim_end_matches('/').to_owned()).collect(),
        }
    }

    /// Gets every block under `root`, each verified.
    ///
    /// Dropping the future stops the requests; nothing is kept.
    ///
    /// # Errors
    ///
    /// The fault of the first block that could not be had; see [`Error::may_pass`] for whether to try again.
    pub async fn fetch(&self, root: &Cid, limits: &Limits) -> Result<Blocks, Error> {
        let late = |_| Error::GatewayUnreachable {
            cid: root.to_string(),
            reason: format!("not complete after {} seconds", limits.total_time.as_secs()),
        };
        tokio::time::timeout(limits.total_time, self.fetch_levels(root, limits))
            .await
            .map_err(late)?
    }

    async fn fetch_levels(&self, root: &Cid, limits: &Limits) -> Result<Blocks, Error> {
        let mut blocks = Blocks::default();
        let mut level = BTreeSet::from([*root]);
        let mut depth = 0;
        while !level.is_empty() {
            if depth > limits.depth {
                return Err(Error::TooLarge {
                    cid: root.to_string(),
                    limit: limits.depth as u64,
                    unit: "levels",
                });
            }
            if blocks.count() + level.len() > limits.blocks {
                return Err(Error::TooLarge {
                    cid: root.to_string(),
                    limit: limits.blocks as u64,
                    unit: "blocks",
                });
            }
            level = self.fetch_level(level, &mut blocks, limits).await?;
            depth += 1;
        }
        Ok(blocks)
    }

    /// Gets one level of the tree and returns the next: what it links to and is not here yet.
    async fn fetch_level(
        &self,
        level: BTreeSet<Cid>,
        blocks: &mut Blocks,
        limits: &Limits,
    ) -> Result<BTreeSet<Cid>, Error> {
        let left = limits.bytes.saturating_sub(blocks.bytes());
        let requests =
            level.into_iter().map(|cid| async move { (cid, self.block(&cid, left, limits).await) });
        let mut answers = stream::iter(requests).buffer_unordered(IN_FLIGHT);
        let mut found = BTreeSet::new();
        while let Some((cid, answer)) = answers.next().await {
            let bytes = answer?;
            found.extend(unixfs::links(&cid, &bytes)?);
            blocks.keep(cid, bytes);
            if blocks.bytes() > limits.bytes {
                return Err(Error::TooLarge {
                    cid: cid.to_string(),
                    limit: limits.bytes,
                    unit: "bytes",
                });
            }
        }
        drop(answers);
        found.retain(|cid| !blocks.contains(cid));
        Ok(found)
    }

    /// One block, verified, from the first gateway that has it.
    async fn block(&self, cid: &Cid, most: u64, limits: &Limits) -> Result<Bytes, Error> {
        let mut silent = None;
        let mut wrong = None;
        for base in &self.bases {
            match self.ask(base, cid, most, limits).await {
                Ok(bytes) => return Ok(bytes),
                Err(miss) => {
                    tracing::debug!(gateway.address = %base, block.cid = %cid, "gateway did not give the block");
                    match miss {
                        Miss::Absent => {}
                        Miss::Silent(reason) => silent = Some(reason),
                        Miss::Wrong(error) => wrong = Some(error),
                    }
                }
            }
        }
        if let Some(error) = wrong {
            return Err(error);
        }
        match silent {
            Some(reason) => Err(Error::GatewayUnreachable { cid: cid.to_string(), reason }),
            None if self.bases.is_empty() => Err(Error::GatewayUnreachable {
                cid: cid.to_string(),
                reason: "none is configured".to_owned(),
            }),
            None => Err(Error::NotFound { cid: cid.to_string(), gateways: self.bases.len() }),
        }
    }

    async fn ask(&self, base: &str, cid: &Cid, most: u64, limits: &Limits) -> Result<Bytes, Miss> {
        let body = tokio::time::timeout(limits.block_time, self.download(base, cid, most, limits));
        let bytes =
            body.await.map_err(|_| Miss::Silent(format!("{base} did not answer in time")))??;
        if identifier::matches(cid, &bytes) {
            Ok(bytes)
        } else {
            Err(Miss::Wrong(Error::DigestMismatch { cid: cid.to_string(), from: base.to_owned() }))
        }
    }

    async fn download(
        &self,
        base: &str,
        cid: &Cid,
        most: u64,
        limits: &Limits,
    ) -> Result<Bytes, Miss> {
        let silent =
            |error: reqwest::Error| Miss::Silent(format!("{base}: {}", error.without_url()));
        let request =
            self.client.get(format!("{base}/ipfs/{cid}?format=raw")).header(ACCEPT, RAW_BLOCK);
        let mut response = request.send().await.map_err(silent)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Miss::Absent),
            status => return Err(Miss::Silent(format!("{base} answered {status}"))),
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(silent)? {
            if (bytes.len() + chunk.len()) as u64 > most {
                let cid = cid.to_string();
                return Err(Miss::Wrong(Error::TooLarge {
                    cid,
                    limit: limits.bytes,
                    unit: "bytes",
                }));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

//! The calls themselves.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use coreward_wire::{Assignment, FoundProofs, LONG_POLL, ProofReceipt, Report};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::{Call, LinkError};

/// To reach the operator and agree on keys.
const CONNECT: Duration = Duration::from_secs(3);

/// For a post from its first byte to the last of the answer.
const POST: Duration = Duration::from_secs(10);

/// What a long poll may take beyond the time that the operator holds it.
const POLL_MARGIN: Duration = Duration::from_secs(3);

/// How long an idle connection is kept for the next call: each takes memory of the operator, and a poll uses its own again at
/// once.
const IDLE: Duration = Duration::from_secs(5);

/// How much of a refusal's text is kept.
const REFUSAL_BYTES: usize = 300;

/// Where the operator is and what proves both ends.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// `https://` address of the pods' endpoint. Plain `http://` is taken for addresses of this host only.
    pub url: String,
    /// Certificate of the authority that signed the operator's, in PEM; read again when it changes.
    pub ca_file: PathBuf,
    /// Projected service-account token; read for each call, since the kubelet renews it.
    pub token_file: PathBuf,
}

/// A pod's line to the operator; cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    config: Arc<LinkConfig>,
    url: Url,
    trusting: Arc<Mutex<Option<Trusting>>>,
}

/// A client with the certificate that it trusts.
#[derive(Debug)]
struct Trusting {
    authority: Vec<u8>,
    client: Client,
}

impl Link {
    /// A line that calls nobody yet. The process's TLS provider must be installed.
    ///
    /// # Errors
    ///
    /// [`LinkError::Address`] if a token must not be sent to the address.
    pub fn new(config: LinkConfig) -> Result<Self, LinkError> {
        let address = || LinkError::Address { url: config.url.clone() };
        let url = Url::parse(&config.url).map_err(|_not_an_address| address())?;
        let of_this_host = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        match url.scheme() {
            "https" => {}
            "http" if of_this_host => {}
            _ => return Err(address()),
        }
        Ok(Self { config: Arc::new(config), url, trusting: Arc::default() })
    }

    /// Asks for an assignment other than `seen`; `None` if there was none within the operator's long poll.
    ///
    /// Most callers want [`Link::assignments`](Self::assignments).
    ///
    /// # Errors
    ///
    /// [`LinkError`]; its `retry` says whether to try again.
    pub async fn poll(&self, seen: Option<&str>) -> Result<Option<Assignment>, LinkError> {
        let call = Call::Assignment;
        let mut url = self.address(call);
        if let Some(seen) = seen {
            url.query_pairs_mut().append_pair("seen", seen);
        }
        let answer =
            self.send(call, |client| client.get(url).timeout(LONG_POLL + POLL_MARGIN)).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        self.read(call, answer).await.map(Some)
    }

    /// Hands over proofs that are durable here; safe to repeat.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; then all are to be posted again.
    pub async fn post_proofs(&self, proofs: &FoundProofs) -> Result<ProofReceipt, LinkError> {
        let call = Call::Proofs;
        let url = self.address(call);
        let answer = self.send(call, |client| client.post(url).timeout(POST).json(proofs)).await?;
        self.read(call, answer).await
    }

    /// Tells how this pod is.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; the next report replaces this one.
    pub async fn post_report(&self, report: &Report) -> Result<(), LinkError> {
        let call = Call::Report;
        let url = self.address(call);
        self.send(call, |client| client.post(url).timeout(POST).json(report)).await.map(drop)
    }

    fn address(&self, call: Call) -> Url {
        let mut url = self.url.clone();
        url.set_path(call.path());
        url
    }

    /// Sends a request with the token; whatever is not a success is an error, and closes the connection: the address is
    /// a Service's, and the next connection may reach another replica.
    async fn send(
        &self,
        call: Call,
        request: impl FnOnce(Client) -> RequestBuilder,
    ) -> Result<Response, LinkError> {
        let sent = self.try_send(call, request).await;
        if sent.as_ref().is_err_and(LinkError::spoils_connection) {
            *self.trusting.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        sent
    }

    async fn try_send(
        &self,
        call: Call,
        request: impl FnOnce(Client) -> RequestBuilder,
    ) -> Result<Response, LinkError> {
        let client = self.client().await?;
        let token = self.read_file(&self.config.token_file).await?;
        let token = String::from_utf8_lossy(&token);
        let answer = request(client).bearer_auth(token.trim()).send().await;
        let answer =
            answer.map_err(|source| LinkError::Send { call, source: source.without_url() })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let text = text.chars().take(REFUSAL_BYTES).collect();
        Err(LinkError::Refused { call, status, text })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        call: Call,
        answer: Response,
    ) -> Result<T, LinkError> {
        let body = answer.bytes().await;
        let body = body.map_err(|source| LinkError::Send { call, source: source.without_url() })?;
        serde_json::from_slice(&body).map_err(|error| LinkError::Unreadable {
            call,
            bytes: body.len(),
            category: match error.classify() {
                Category::Io => "reading",
                Category::Syntax => "syntax",
                Category::Data => "data",
                Category::Eof => "length",
            },
            line: error.line(),
            column: error.column(),
        })
    }

    /// The client that trusts what the certificate file holds now.
    async fn client(&self) -> Result<Client, LinkError> {
        let builder = Client::builder().connect_timeout(CONNECT).pool_idle_timeout(IDLE).no_proxy();
        let path = &self.config.ca_file;
        let authority =
            if self.url.scheme() == "https" { self.read_file(path).await? } else { Vec::new() };
        let mut trusting = self.trusting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = trusting.as_ref().filter(|known| known.authority == authority) {
            return Ok(known.client.clone());
        }
        let trust = |source| LinkError::Trust { path: path.clone(), source };
        let certificates = Certificate::from_pem_bundle(&authority).map_err(trust)?;
        let client = builder.tls_certs_only(certificates).build().map_err(trust)?;
        *trusting = Some(Trusting { authority, client: client.clone() });
        Ok(client)
    }

    async fn read_file(&self, path: &PathBuf) -> Result<Vec<u8>, LinkError> {
        let read = tokio::fs::read(path).await;
        read.map_err(|source| LinkError::ReadFile { path: path.clone(), source })
    }
}

//! The proxy before the chain's endpoint: it understands what is asked.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::{hex, primitives::keccak256};
use futures::stream;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{Rpc, lies, stale};
use crate::bed::Addresses;

/// Where the one listens that all networks but one of the stories' have.
pub(super) const PORT: u16 = 18545;
/// The endpoints of the network that has several, and where they listen.
pub const THREE: [(&str, u16); 3] = [("first", 18551), ("second", 18552), ("third", 18553)];
/// A well endpoint answers far sooner; the one that asks has limits of its own.
const LIMIT: Duration = Duration::from_secs(30);

/// What is wrong, and how often it was so.
#[derive(Debug, Clone)]
pub(super) struct State {
    fault: Rpc,
    spoiled: Arc<AtomicU64>,
}

impl Default for State {
    fn default() -> Self {
        Self::of(Rpc::Well)
    }
}

impl State {
    /// A fault, counted from now.
    pub(super) fn of(fault: Rpc) -> Self {
        Self { fault, spoiled: Arc::default() }
    }

    pub(super) fn spoiled(&self) -> u64 {
        self.spoiled.load(Ordering::Relaxed)
    }
}

/// An answer that may never be complete.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The proxy.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    addresses: Addresses,
    port: u16,
    state: watch::Receiver<State>,
}

impl Proxy {
    pub(super) fn new(addresses: Addresses, port: u16, state: watch::Receiver<State>) -> Self {
        Self { addresses, port, state }
    }

    pub(super) fn address(&self) -> (Ipv4Addr, u16) {
        (self.addresses.control(), self.port)
    }

    /// Serves until dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        // It has no connection before the first request, so it may be made on any thread.
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build();
        let Ok(client) = client else { return };
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (proxy, client) = (self.clone(), client.clone());
            connections.spawn(async move {
                let service = service_fn(|request| proxy.answer(&client, request));
                // How a connection ends is the client's matter.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    }

    async fn answer(
        &self,
        client: &reqwest::Client,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, hyper::Error> {
        let asked = request.into_body().collect().await?.to_bytes();
        let state = self.state.borrow().clone();
        if state.fault != Rpc::Well {
            state.spoiled.fetch_add(1, Ordering::Relaxed);
        }
        Ok(match state.fault {
            Rpc::Well | Rpc::Away => self.forwarded(client, asked).await,
            Rpc::Frozen => {
                self.until_lifted(state.fault).await;
                plain(StatusCode::BAD_GATEWAY, "frozen until now")
            }
            Rpc::Slow(delay) => {
                tokio::time::sleep(delay).await;
                self.forwarded(client, asked).await
            }
            Rpc::TooManyRequests => plain(StatusCode::TOO_MANY_REQUESTS, "slow down"),
            Rpc::Failing => per_call(
                &asked,
                |_| json!({ "error": { "code": -32603, "message": "internal error of the node" } }),
            ),
            Rpc::Stale(height) => {
                let ask = |call: &mut Value| stale::turn_back(call, height);
                let tell = |call: &Value, answer: &mut Value| {
                    let method = call["method"].as_str().unwrap_or_default();
                    stale::forget_newer(method, answer, height);
                };
                self.changed(client, &asked, (ask, tell)).await
            }
            Rpc::Ahead(_) | Rpc::Forked | Rpc::WrongLogs => {
                let tell = |call: &Value, answer: &mut Value| lies::tell(state.fault, call, answer);
                self.changed(client, &asked, (|_: &mut Value| {}, tell)).await
            }
            Rpc::Empty => self.emptied(client, asked).await,
            Rpc::HalfOpen => self.begun(),
            Rpc::Losing => self.lost(client, asked).await,
        })
    }

    async fn until_lifted(&self, fault: Rpc) {
        let mut state = self.state.clone();
        // An error means that the proxy ends.
        let _ = state.wait_for(|state| state.fault != fault).await;
    }

    async fn forwarded(&self, client: &reqwest::Client, asked: Bytes) -> Response<Body> {
        match self.upstream(client, asked).await {
            Ok(answer) => json_of(answer),
            Err(error) => plain(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }

    async fn upstream(&self, client: &reqwest::Client, asked: Bytes) -> reqwest::Result<Bytes> {
        let post = client.post(self.addresses.chain()).header(CONTENT_TYPE, "application/json");
        post.body(asked).send().await?.bytes().await
    }

    /// Forwards each call, and its answer, after a change.
    async fn changed(
        &self,
        client: &reqwest::Client,
        asked: &[u8],
        (ask, tell): (impl Fn(&mut Value), impl Fn(&Value, &mut Value)),
    ) -> Response<Body> {
        let (mut calls, is_batch) = calls(asked);
        let mut answers = Vec::new();
        for call in &mut calls {
            ask(call);
            let answer = self.upstream(client, call.to_string().into()).await;
            let Ok(mut answer) = answer.map(|answer| value(&answer)) else {
                return plain(StatusCode::BAD_GATEWAY, "no answer");
            };
            tell(call, &mut answer);
            answers.push(answer);
        }
        put_together(answers, is_batch)
    }

    async fn emptied(&self, client: &reqwest::Client, asked: Bytes) -> Response<Body> {
        let is_emptied =
            |call: &Value| matches!(call["method"].as_str(), Some("eth_call" | "eth_getLogs"));
        if !calls(&asked).0.iter().any(is_emptied) {
            return self.forwarded(client, asked).await;
        }
        per_call(&asked, |call| match call["method"].as_str() {
            Some("eth_getLogs") => json!({ "result": [] }),
            _ => json!({ "result": "0x" }),
        })
    }

    /// Only single calls carry transactions.
    async fn lost(&self, client: &reqwest::Client, asked: Bytes) -> Response<Body> {
        let call = value(&asked);
        if call["method"] != "eth_sendRawTransaction" {
            return self.forwarded(client, asked).await;
        }
        let raw = call["params"][0].as_str().and_then(|raw| hex::decode(raw).ok());
        per_call(&asked, |_| json!({ "result": keccak256(raw.clone().unwrap_or_default()) }))
    }

    /// An answer's beginning. The rest comes when the fault is lifted, and makes no sense.
    fn begun(&self) -> Response<Body> {
        let (proxy, fault) = (self.clone(), Rpc::HalfOpen);
        let parts = stream::unfold(0_u8, move |part| {
            let proxy = proxy.clone();
            async move {
                if part == 0 {
                    return Some((
                        Ok(Frame::data(Bytes::from_static(b"{\"jsonrpc\":\"2.0\","))),
                        1,
                    ));
                }
                proxy.until_lifted(fault).await;
                None
            }
        });
        Response::new(StreamBody::new(parts).boxed_unsync())
    }
}

/// The calls of a request, and whether they are a batch.
fn calls(asked: &[u8]) -> (Vec<Value>, bool) {
    let asked = value(asked);
    match asked.as_array() {
        Some(calls) => (calls.clone(), true),
        None => (vec![asked], false),
    }
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Answers each call by itself.
fn per_call(asked: &[u8], answer: impl Fn(&Value) -> Value) -> Response<Body> {
    let (calls, is_batch) = calls(asked);
    let answers = calls.iter().map(|call| {
        let mut answer = answer(call);
        answer["jsonrpc"] = json!("2.0");
        answer["id"] = call["id"].clone();
        answer
    });
    put_together(answers.collect(), is_batch)
}

fn put_together(mut answers: Vec<Value>, is_batch: bool) -> Response<Body> {
    let answer = match answers.pop() {
        Some(only) if !is_batch => only,
        last => {
            answers.extend(last);
            Value::Array(answers)
        }
    };
    json_of(answer.to_string().into())
}

fn json_of(text: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(text).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync());
    *response.status_mut() = status;
    response
}

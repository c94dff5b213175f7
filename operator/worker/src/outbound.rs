//! What a component asks of others: members of its subnet, itself, its host, or the outside.

mod budget;
mod egress;
mod network;

use std::error::Error as _;
use std::sync::{Arc, Weak};

use alloy_primitives::B256;
use coreward_wire::{RequestLimits, WorkerDuty};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use tokio::runtime::Handle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

use crate::app::{App, Passage};
use crate::body::{self, Body};
use crate::metrics::{Origin, Route};
use crate::orders;
use crate::subnet::Name;
use budget::Allowance;
pub(crate) use budget::Shared;
use egress::Connection;
pub(crate) use egress::Outside;
pub(crate) use network::System;

/// Says which member asks, in decimal; set by hosts only.
pub(crate) const CALLER: HeaderName = HeaderName::from_static("coreward-caller");
/// Counts the members that a request has come through; set by hosts only.
pub(crate) const HOPS: HeaderName = HeaderName::from_static("coreward-hops");
/// A request that came through this many members goes no further.
pub(crate) const MOST_HOPS: u8 = 8;

/// Bytes of a body that an instance may write at once: the host holds twice as many for each that nobody reads.
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// An answer, with what keeps its connection open.
type Sent = (Response<Body>, Connection);

/// What an instance reaches beyond itself.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The way to members.
    pub(crate) members: coreward_overlay::Client,
    /// The way to everybody else.
    pub(crate) outside: Outside,
    /// What all instances may ask of others.
    pub(crate) allowance: Arc<Shared>,
    /// All tasks of guests and their connections.
    pub(crate) tasks: TaskTracker,
    /// Where they run.
    pub(crate) threads: Threads,
}

/// The two runtimes: what runs on one cannot hold up the other.
#[derive(Debug)]
pub(crate) struct Threads {
    /// For components.
    pub(crate) guests: Handle,
    /// For all else: what components ask of others, too.
    pub(crate) rest: Handle,
}

/// The outgoing side of one instance, for one request.
#[derive(Clone)]
pub(crate) struct Outbound {
    /// Weak, or an instance that the app keeps would keep the app.
    app: Weak<App>,
    passage: Passage,
    allowance: Allowance,
}

impl Outbound {
    /// The outgoing side of an instance that answers a request of this passage.
    pub(crate) fn new(app: &Arc<App>, passage: Passage, limits: &RequestLimits) -> Self {
        let allowance = Allowance::of(limits, &app.host().surroundings.allowance);
        Self { app: Arc::downgrade(app), passage, allowance }
    }

    /// Which request it is for.
    pub(crate) const fn request(&self) -> u64 {
        self.passage.request
    }

    /// Whether nothing is open that it was asked for.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.allowance.is_at_rest()
    }

    async fn send(self, request: Request<Body>, options: RequestOptions) -> Result<Sent, Error> {
        let allowance = self.allowance.clone();
        let opened = allowance.open()?;
        let request = request.map(|body| allowance.sending(body));
        let (answer, connection) = self.route(request, options).await?;
        Ok((answer.map(|body| allowance.receiving(body, opened)), connection))
    }

    async fn route(
        self,
        mut request: Request<Body>,
        options: RequestOptions,
    ) -> Result<Sent, Error> {
        remove_own_headers(request.headers_mut());
        let app = self.app.upgrade().ok_or(Error::ConnectionTerminated)?;
        let host = app.host();
        let duty = Arc::clone(&host.orders.borrow());
        let name = request.uri().host().map(Name::of).ok_or(Error::HttpRequestUriInvalid)?;
        let own = duty.onchain_worker_id;
        match name {
            Name::Subnet => {
                host.metrics.sent(Route::Host);
                Ok((tell(&duty, &request), None))
            }
            Name::Itself => self.send_to_itself(&app, request, own).await,
            Name::Worker(id) if id == own => self.send_to_itself(&app, request, own).await,
            Name::Worker(id) => self.send_to_member(&app, request, &duty, id).await,
            Name::Unknown => Err(Error::DestinationNotFound),
            Name::Outside => {
                let sent = host.surroundings.outside.send(&duty.egress, request, &options).await;
                let denied =
                    matches!(sent, Err(Error::HttpRequestDenied | Error::DestinationIpProhibited));
                host.metrics.sent(if denied { Route::Denied } else { Route::Outside });
                sent
            }
        }
    }

    async fn send_to_itself(
        &self,
        app: &Arc<App>,
        mut request: Request<Body>,
        own: B256,
    ) -> Result<Sent, Error> {
        let hops = self.next_hop(app)?;
        request.headers_mut().insert(CALLER, number(orders::decimal(own))?);
        app.host().metrics.sent(Route::Itself);
        let passage = Passage::new(Origin::Itself, hops);
        // Boxed: an instance that asks itself is a future that contains itself.
        let answer = Box::pin(app.answer(request, passage)).await;
        Ok((answer, None))
    }

    async fn send_to_member(
        &self,
        app: &Arc<App>,
        request: Request<Body>,
        duty: &WorkerDuty,
        id: B256,
    ) -> Result<Sent, Error> {
        let hops = self.next_hop(app)?;
        let member = orders::member_by_id(duty, id).ok_or(Error::DestinationNotFound)?;
        let (mut parts, body) = request.into_parts();
        parts.uri =
            parts.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
        parts
            .headers
            .insert(header::HOST, number(format!("{}.subnet.internal", orders::decimal(id)))?);
        parts.headers.insert(HOPS, HeaderValue::from(u16::from(hops)));
        let request = Request::from_parts(parts, body::for_overlay(body));
        let host = app.host();
        host.metrics.sent(Route::Member);
        let answer = host.surroundings.members.request(member.offchain_worker_id.0, request).await;
        let answer = answer.map_err(|error| {
            tracing::debug!(%error, member.id = %orders::decimal(id), "a member gave no answer");
            match error {
                coreward_overlay::Error::Unreachable(_) => Error::DestinationUnavailable,
                coreward_overlay::Error::Broken(_) => Error::ConnectionTerminated,
                coreward_overlay::Error::Stopped => Error::ConnectionRefused,
            }
        })?;
        Ok((answer.map(body::incoming), None))
    }

    fn next_hop(&self, app: &App) -> Result<u8, Error> {
        let next = self.passage.hops.saturating_add(1);
        if next > MOST_HOPS {
            app.host().metrics.sent(Route::Loop);
            return Err(Error::LoopDetected);
        }
        Ok(next)
    }
}

impl WasiHttpHooks for Outbound {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        WRITTEN_AT_ONCE
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        let cause = error.source().and_then(|source| source.downcast_ref::<Error>());
        match cause {
            Some(Error::HttpRequestBodySize(most)) => ErrorCode::HttpRequestBodySize(*most),
            Some(_) | None => ErrorCode::HttpProtocolError,
        }
    }

    fn send_request(
        &mut self,
        request: Request<Body>,
        options: Option<RequestOptions>,
        _outcome: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<
        dyn Future<
                Output = Result<
                    (Response<Body>, Box<dyn Future<Output = Result<(), Error>> + Send>),
                    Error,
                >,
            > + Send,
    > {
        let Some(app) = self.app.upgrade() else {
            return Box::new(async { Err(Error::ConnectionTerminated) });
        };
        let sending = self.clone().send(request, options.unwrap_or_default());
        let Surroundings { tasks, threads, .. } = &*app.host().surroundings;
        let sending = AbortOnDropHandle::new(tasks.spawn_on(sending, &threads.rest));
        Box::new(async move {
            let broken =
                |error: tokio::task::JoinError| Error::InternalError(Some(error.to_string()));
            let (answer, connection) = sending.await.map_err(broken)??;
            let kept: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async move {
                if let Some(connection) = connection {
                    // It was cut or it ended: the body that was read through it says which.
                    let _ended = connection.await;
                }
                Ok(())
            });
            Ok((answer, kept))
        })
    }
}

/// Takes out the headers that only hosts may set.
pub(crate) fn remove_own_headers(headers: &mut HeaderMap) {
    headers.remove(CALLER);
    headers.remove(HOPS);
}

fn number(text: String) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(text).map_err(|_| Error::HttpRequestUriInvalid)
}

/// What the host tells of the subnet: `GET /members`.
fn tell(duty: &WorkerDuty, request: &Request<Body>) -> Response<Body> {
    if request.uri().path() != "/members" {
        return body::answer(StatusCode::NOT_FOUND, "only /members is here");
    }
    if request.method() != Method::GET {
        return body::answer(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here");
    }
    let members: Vec<_> = duty.members.iter().map(|member| {
        serde_json::json!({ "id": orders::decimal(member.onchain_worker_id), "key": member.offchain_worker_id })
    }).collect();
    let text = serde_json::json!({
        "self": orders::decimal(duty.onchain_worker_id),
        "block": duty.members_block,
        "members": members,
    });
    let mut answer = Response::new(body::full(text.to_string()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

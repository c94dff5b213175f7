//! Requests to the component: from the public port, and from members over the overlay.

mod head;
pub(crate) mod public;

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::app::App;
use crate::body::{self, Body};
use crate::metrics::{Metrics, Refusal};
use crate::orders::{self, Orders};

/// The version of the component that answers now; `None` before the first one does.
pub(crate) type Current = watch::Receiver<Option<Arc<App>>>;

/// Where requests come in.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) orders: Orders,
    pub(crate) current: Current,
    pub(crate) metrics: Metrics,
}

impl Inbound {
    async fn answer_public(self, request: Request<Incoming>) -> Response<Body> {
        let mut request = request.map(body::incoming);
        match (head::from_public(&mut request), self.app()) {
            (Err(refusal), _) => self.refuse(Refusal::Host, *refusal),
            (Ok(_), None) => not_yet(),
            (Ok(passage), Some(app)) => app.answer(request, passage).await,
        }
    }

    async fn answer_member(
        self,
        caller: coreward_overlay::Key,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let duty = Arc::clone(&self.orders.borrow());
        // The connection is of a member, but the list may have changed while it sent.
        let Some(member) = orders::member_by_key(&duty, &caller) else {
            let answer = body::answer(StatusCode::FORBIDDEN, "not a member of this subnet");
            return self.refuse(Refusal::Stranger, answer);
        };
        let mut request = request.map(body::incoming);
        match (
            head::from_member(&mut request, member.onchain_worker_id, duty.onchain_worker_id),
            self.app(),
        ) {
            (Err(refusal), _) => self.refuse(Refusal::Loop, *refusal),
            (Ok(_), None) => not_yet(),
            (Ok(passage), Some(app)) => app.answer(request, passage).await,
        }
    }

    fn refuse(&self, reason: Refusal, answer: Response<Body>) -> Response<Body> {
        self.metrics.refused(reason);
        answer
    }

    fn app(&self) -> Option<Arc<App>> {
        self.current.borrow().clone()
    }
}

impl coreward_overlay::Handler for Inbound {
    fn handle(
        &self,
        caller: coreward_overlay::Key,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<coreward_overlay::Body>> {
        let answer = self.clone().answer_member(caller, request);
        answer.map(|answer| answer.map(body::for_overlay)).boxed()
    }

    fn refused(&self, why: coreward_overlay::Refusal) {
        self.metrics.overlay_refused(why);
    }
}

fn not_yet() -> Response<Body> {
    body::answer(StatusCode::SERVICE_UNAVAILABLE, "the component is not loaded yet")
}

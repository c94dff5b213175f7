//! What a worker uses: requests to members, and the member list.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use libp2p::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::kept::{Kept, Pool};
use crate::{Body, Key, Member};

/// How long to get a stream, dialling included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A dial that was refused is tried again after these: member lists are refreshed at different moments on both sides.
pub(crate) const OPEN_RETRIES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No stream to the member.
    #[error("no stream to the member: {0}")]
    Unreachable(String),
    /// The stream broke under the request; it may or may not have been handled.
    #[error("send a request to the member")]
    Broken(#[source] hyper::Error),
    /// The overlay was shut down.
    #[error("the overlay has stopped")]
    Stopped,
}

pub(crate) enum Command {
    SetMembers(Vec<Member>),
    SetGateways(Gateways),
    Open { key: Key, reply: oneshot::Sender<Result<Stream, String>> },
}

/// The gateways that a node may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// Multiaddrs with keys of our own gateways, `/ip4/<address>/tcp/<port>/p2p/<key>` or with `ip6`: a reservation is kept
    /// at each, so that members elsewhere reach us through it. What is none is skipped.
    pub own: Vec<String>,
    /// Whether the gateways of other members may be outside the public ranges.
    pub private: bool,
}

/// A member's room for one stream.
struct Place {
    cut: CancellationToken,
    _room: OwnedSemaphorePermit,
}

/// A cheap handle; clones share their kept streams.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    listening: watch::Receiver<Vec<String>>,
    strangers: watch::Receiver<u64>,
    reservations: watch::Receiver<BTreeSet<Key>>,
    pools: Arc<Mutex<HashMap<Key, Pool>>>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("listening", &*self.listening.borrow())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        listening: watch::Receiver<Vec<String>>,
        strangers: watch::Receiver<u64>,
        reservations: watch::Receiver<BTreeSet<Key>>,
    ) -> Self {
        Self {
            commands,
            listening,
            strangers,
            reservations,
            pools: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Multiaddrs that we listen on; grows as the listener comes up.
    #[must_use]
    pub fn listening(&self) -> watch::Receiver<Vec<String>> {
        self.listening.clone()
    }

    /// Counts connections of authenticated keys that are not on our list: a hint that the list is old.
    #[must_use]
    pub fn strangers(&self) -> watch::Receiver<u64> {
        self.strangers.clone()
    }

    /// Keys of our own gateways where a reservation stands.
    #[must_use]
    pub fn reservations(&self) -> watch::Receiver<BTreeSet<Key>> {
        self.reservations.clone()
    }

    /// Replaces the gateways; a gateway is no member, and gets no stream of requests.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] after shutdown.
    pub async fn set_gateways(&self, gateways: Gateways) -> Result<(), Error> {
        self.commands.send(Command::SetGateways(gateways)).await.map_err(|_| Error::Stopped)
    }

    /// Replaces the member list; connections of those no longer on it are closed at once.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] after shutdown.
    pub async fn set_members(&self, members: Vec<Member>) -> Result<(), Error> {
        {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.retain(|key, _| members.iter().any(|member| member.key == *key));
        }
        self.commands.send(Command::SetMembers(members)).await.map_err(|_| Error::Stopped)
    }

    /// Opens a stream to a member and closes it: a member that grants it is reached.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] with the reason; [`Error::Stopped`] after shutdown.
    pub async fn probe(&self, key: Key) -> Result<(), Error> {
        self.open_once(key).await.map(drop)
    }

    /// Sends a request to a member on a kept stream, or on a new one. The request must carry a `Host`.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] if no stream could be had, after tries with growing pauses; the request was not sent then.
    /// [`Error::Broken`] if the stream broke later.
    pub async fn request(
        &self,
        key: Key,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Error> {
        let place = self.place(key).await?;
        let mut request = request;
        while let Some(mut kept) = self.kept(key) {
            match kept.ask(request, &place.cut).await {
                Ok(answer) => {
                    self.keep(key, kept, place);
                    return Ok(answer);
                }
                Err(mut failure) => match failure.take_message() {
                    // The member closed the kept stream before taking the request: another one is as good.
                    Some(unsent) => request = unsent,
                    None => return Err(Error::Broken(failure.into_error())),
                },
            }
        }
        let mut stream = Kept::new(self.open(key).await?).await.map_err(Error::Broken)?;
        let answer = stream.ask(request, &place.cut).await;
        let answer = answer.map_err(|failure| Error::Broken(failure.into_error()))?;
        self.keep(key, stream, place);
        Ok(answer)
    }

    async fn place(&self, key: Key) -> Result<Place, Error> {
        let (room, cut) = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            let pool = pools.entry(key).or_insert_with(Pool::new);
            (Arc::clone(&pool.room), pool.cut.clone())
        };
        let room = room.acquire_owned().await.map_err(|_| Error::Stopped)?;
        Ok(Place { cut, _room: room })
    }

    fn kept(&self, key: Key) -> Option<Kept> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.get_mut(&key)?.take()
    }

    /// Puts the stream back once its answer was read to the end.
    fn keep(&self, key: Key, mut stream: Kept, place: Place) {
        let pools = Arc::clone(&self.pools);
        let put_back = move |stream, place: Place| {
            let mut pools = pools.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(pool) = pools.get_mut(&key).filter(|_| !place.cut.is_cancelled()) {
                pool.put_back(stream);
            }
        };
        if stream.is_idle() {
            put_back(stream, place);
        } else {
            self.tasks.spawn(async move {
                if stream.drive(&place.cut).await {
                    put_back(stream, place);
                }
            });
        }
    }

    async fn open(&self, key: Key) -> Result<Stream, Error> {
        let mut result = self.open_once(key).await;
        for pause in OPEN_RETRIES {
            if !matches!(result, Err(Error::Unreachable(_))) {
                break;
            }
            // Up to twice the pause, so that two members that refused each other do not meet again in step.
            tokio::time::sleep(pause + pause.mul_f64(rand::random())).await;
            result = self.open_once(key).await;
        }
        result
    }

    async fn open_once(&self, key: Key) -> Result<Stream, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Open { key, reply }).await.map_err(|_| Error::Stopped)?;
        match tokio::time::timeout(OPEN_TIMEOUT, answer).await {
            Ok(Ok(stream)) => stream.map_err(Error::Unreachable),
            Ok(Err(_)) => Err(Error::Stopped),
            Err(_) => {
                Err(Error::Unreachable(format!("no stream within {} s", OPEN_TIMEOUT.as_secs())))
            }
        }
    }
}

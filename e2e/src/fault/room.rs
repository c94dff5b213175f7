//! The thread that the proxies live on: it has moved into the control plane's network, so what they listen on is in there.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use futures::future::{join_all, try_join_all};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{api, machine, rpc, socket};
use crate::world::{Error, Result};

/// All that live on it.
pub(super) struct Proxies {
    pub(super) endpoints: Vec<rpc::Proxy>,
    pub(super) sockets: Vec<socket::Proxy>,
    pub(super) api: api::Proxy,
}

/// What they listen with.
struct Listeners {
    endpoints: Vec<TcpListener>,
    sockets: Vec<TcpListener>,
    api: TcpListener,
}

/// A running thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Thread {
    stop: CancellationToken,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts the proxies in the named network namespace, and returns once they listen.
    ///
    /// # Errors
    /// [`Error::Finding`] with what the machine refused.
    pub(super) fn start(namespace: &str, proxies: Proxies) -> Result<Self> {
        let stop = CancellationToken::new();
        let file = Path::new("/run/netns").join(namespace);
        let (ready, is_ready) = mpsc::sync_channel(1);
        let stopped = stop.clone();
        let body = move || {
            let listening = enter(&file).and_then(|runtime| {
                let listeners = runtime.block_on(listen(&proxies))?;
                Ok((runtime, listeners))
            });
            match listening {
                Err(error) => drop(ready.send(Err(error))),
                Ok((runtime, listeners)) => {
                    drop(ready.send(Ok(())));
                    let serving = serve(proxies, listeners);
                    runtime.block_on(stopped.run_until_cancelled(serving));
                }
            }
        };
        let handle = thread::Builder::new()
            .name("faults".to_owned())
            .spawn(body)
            .map_err(machine("thread"))?;
        let ended = |_| Error::Finding("the faults' thread ended".to_owned());
        is_ready.recv().map_err(ended)?.map_err(machine("proxies"))?;
        Ok(Self { stop, handle: Some(handle) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(handle) = self.handle.take() {
            // A panic in there was printed, and changes nothing here.
            let _ = handle.join();
        }
    }
}

fn enter(file: &Path) -> std::io::Result<tokio::runtime::Runtime> {
    let namespace = File::open(file)?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn listen(proxies: &Proxies) -> std::io::Result<Listeners> {
    let Proxies { endpoints, sockets, api } = proxies;
    Ok(Listeners {
        endpoints: bound(endpoints.iter().map(rpc::Proxy::address)).await?,
        sockets: bound(sockets.iter().map(socket::Proxy::address)).await?,
        api: TcpListener::bind(SocketAddr::from((api.address(), api::PORT))).await?,
    })
}

async fn bound(
    addresses: impl Iterator<Item = (Ipv4Addr, u16)>,
) -> std::io::Result<Vec<TcpListener>> {
    try_join_all(addresses.map(TcpListener::bind)).await
}

async fn serve(proxies: Proxies, listeners: Listeners) {
    let endpoints = proxies.endpoints.into_iter().zip(listeners.endpoints);
    let endpoints = join_all(endpoints.map(|(proxy, listener)| proxy.serve(listener)));
    let sockets = proxies.sockets.into_iter().zip(listeners.sockets);
    let sockets = join_all(sockets.map(|(proxy, listener)| proxy.serve(listener)));
    tokio::join!(endpoints, sockets, proxies.api.serve(listeners.api));
}

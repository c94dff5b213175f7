//! The thread that the proxies live on: it has moved into the control plane's network, so what they listen on is in there.

use std::{
    fs::File,
    net::SocketAddr,
    os::fd::AsFd as _,
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use futures::future::join_all;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{api, machine, rpc};
use crate::world::{Error, Result};

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
    pub(super) fn start(namespace: &str, proxies: (Vec<rpc::Proxy>, api::Proxy)) -> Result<Self> {
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

async fn listen(
    (rpc, api): &(Vec<rpc::Proxy>, api::Proxy),
) -> std::io::Result<(Vec<TcpListener>, TcpListener)> {
    let mut listeners = Vec::new();
    for proxy in rpc {
        listeners.push(TcpListener::bind(SocketAddr::from(proxy.address())).await?);
    }
    Ok((listeners, TcpListener::bind(SocketAddr::from((api.address(), api::PORT))).await?))
}

async fn serve(
    (rpc, api): (Vec<rpc::Proxy>, api::Proxy),
    (rpc_listeners, api_listener): (Vec<TcpListener>, TcpListener),
) {
    let endpoints = rpc.into_iter().zip(rpc_listeners);
    let endpoints = join_all(endpoints.map(|(proxy, listener)| proxy.serve(listener)));
    tokio::join!(endpoints, api.serve(api_listener));
}

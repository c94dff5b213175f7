//! Random bytes to every port that the product's pods open.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use futures::future;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{STEP, ensure, pods, traffic};
use crate::world::{Result, World, cluster, until};

/// Connections to each port, and the most bytes that one of them sends.
const CONNECTIONS: u64 = 32;
const BYTES: usize = 8192;
/// How long a connection listens for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The state of a listening socket, as the kernel writes it.
const LISTENING: &str = "0A";

/// Sends noise to the operators, the node agents and these pods of a story; no container starts again, and all stay or
/// become ready. Gives the open ports of each pod.
///
/// # Errors
/// [`crate::world::Error::Finding`] where a pod opens no port, or was harmed.
pub async fn make_noise(world: &World, own: &[Pod]) -> Result<BTreeMap<String, Vec<u16>>> {
    let mut all = own.to_vec();
    for component in ["operator", "node"] {
        all.extend(pods::of_component(&world.client(), component).await?);
    }
    let mut open = BTreeMap::new();
    for pod in &all {
        let ports = listening(pod)?;
        ensure(!ports.is_empty(), || format!("{} opens no port", pod.name_any()))?;
        let address = traffic::address(pod)?;
        future::join_all(ports.iter().map(|port| shout(address, *port))).await;
        open.insert(pod.name_any(), ports);
    }
    for pod in &all {
        is_well(world, pod).await?;
    }
    Ok(open)
}

async fn is_well(world: &World, pod: &Pod) -> Result<()> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let api: Api<Pod> = Api::namespaced(world.client(), &namespace);
    until(&format!("{name} is ready"), STEP, async || {
        let now = api.get(&name).await.map_err(cluster(format!("get the pod {name}")))?;
        ensure(pods::uid(&now) == pods::uid(pod), || format!("{name} is another"))?;
        ensure(pods::restarts(&now) == pods::restarts(pod), || format!("{name} broke down"))?;
        Ok(pods::is_ready(&now).then_some(()))
    })
    .await
}

/// The ports on which a pod listens, as its kernel lists them.
fn listening(pod: &Pod) -> Result<Vec<u16>> {
    let mut ports = ports_in(&traffic::sockets(pod)?);
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// The ports of listening sockets that are open to others, in a table of the kernel.
fn ports_in(table: &str) -> Vec<u16> {
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter_map(|fields| {
            let [_, local, _, state, ..] = fields[..] else { return None };
            let (address, port) = local.split_once(':')?;
            let is_open = state == LISTENING && address.bytes().all(|digit| digit == b'0');
            is_open.then(|| u16::from_str_radix(port, 16).ok()).flatten()
        })
        .collect()
}

/// Many connections at once, each with bytes of its own; what the other side does with them is its own affair.
async fn shout(address: Ipv4Addr, port: u16) {
    let connections = (0..CONNECTIONS).map(|seed| async move {
        let mut random = StdRng::seed_from_u64(seed << 16 | u64::from(port));
        let mut bytes = vec![0; random.random_range(1..=BYTES)];
        random.fill_bytes(&mut bytes);
        let said = async {
            let mut stream = TcpStream::connect((address, port)).await?;
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            stream.read_to_end(&mut Vec::new()).await
        };
        // Hung up or kept waiting: both are fine.
        let _said = timeout(PATIENCE, said).await;
    });
    future::join_all(connections).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_open_to_others_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 00000000:0FA1 00000000:0000 0A 0\n\
             1: 0100007F:1F90 00000000:0000 0A 0\n\
             2: 00000000000000000000000000000000:2382 00000000000000000000000000000000:0000 0A 0\n\
             3: 0301A80A:0FA1 0201A80A:D431 01 0\n";
        assert_eq!(ports_in(table), [4001, 9090]);
    }
}

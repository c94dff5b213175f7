//! Many requests between workers, and the connections that carry them.

use std::{fs, net::Ipv4Addr};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{client, deal::Served, pods};
use crate::world::{Error, Result, processes_of};

/// Requests under way at once, from one side.
const AT_ONCE: usize = 16;
/// The port of the workers' network, as the kernel writes it.
const OVERLAY_PORT: &str = "0FA1";
/// The state of an established connection, as the kernel writes it.
const ESTABLISHED: &str = "01";

/// The URL at which a worker's guest calls the guest of another.
#[must_use]
pub fn call(from: &Served, to: &Served) -> String {
    format!("{}call/{}", from.url, to.seat.decimal())
}

/// Sends `count` requests through the guest of one worker to the guest of the other; gives the answers that were not the
/// other's own.
///
/// # Errors
/// [`Error::Finding`] where no client can be made.
pub async fn lost(from: &Served, to: &Served, count: usize) -> Result<Vec<String>> {
    let client = client::http()?;
    let (url, caller) = (call(from, to), from.seat.decimal());
    let wanted = format!("hello, worker {caller}");
    let (client, url, wanted) = (&client, url.as_str(), wanted.as_str());
    let answers = stream::iter(0..count).map(|_| async move {
        match client::get(client, url).await {
            Ok((200, body)) if body.trim() == wanted => None,
            Ok((status, body)) => Some(format!("{status} {body}")),
            Err(error) => Some(error.to_string()),
        }
    });
    Ok(answers.buffer_unordered(AT_ONCE).filter_map(async |it| it).collect().await)
}

/// The established connections between two workers' pods on the workers' network, as the first one's kernel lists them.
///
/// # Errors
/// [`Error::Finding`] where the pod's process cannot be looked at.
pub fn connections(of: &Pod, to: Ipv4Addr) -> Result<usize> {
    Ok(count(&sockets(of)?, to))
}

/// The TCP sockets of a pod, as its kernel lists them.
///
/// # Errors
/// [`Error::Finding`] where the pod has no process on this machine.
pub fn sockets(of: &Pod) -> Result<String> {
    let processes = processes_of(&pods::uid(of))?;
    let process = processes.first().ok_or_else(|| {
        Error::Finding(format!("{} has no process on this machine", of.name_any()))
    })?;
    let mut table = String::new();
    for file in ["tcp", "tcp6"] {
        let path = format!("/proc/{}/net/{file}", process.id);
        table += &fs::read_to_string(&path).unwrap_or_default();
    }
    Ok(table)
}

/// Established connections with `to` over the overlay's port in a table of the kernel.
fn count(table: &str, to: Ipv4Addr) -> usize {
    // The kernel writes addresses as words in the machine's order.
    let address = format!("{:08X}", u32::from_le_bytes(to.octets()));
    let lines = table.lines().map(str::split_whitespace).map(Iterator::collect::<Vec<_>>);
    lines
        .filter(|fields| {
            let [_, local, remote, state, ..] = &fields[..] else { return false };
            let has_port = [local, remote].iter().any(|end| end.ends_with(OVERLAY_PORT));
            let is_with = remote.split(':').next().is_some_and(|ip| ip.ends_with(&address));
            has_port && is_with && *state == ESTABLISHED
        })
        .count()
}

/// The address of a pod.
///
/// # Errors
/// [`Error::Finding`] where it has none.
pub fn address(pod: &Pod) -> Result<Ipv4Addr> {
    let text = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default();
    text.parse().map_err(|_| Error::Finding(format!("{text:?} is no address of a pod")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_address_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 00000000:0FA1 00000000:0000 0A 0\n\
             1: 0301A80A:D431 0201A80A:0FA1 01 0\n\
             2: 0301A80A:D432 0201A80A:0FA1 06 0\n\
             3: 0000000000000000FFFF00000301A80A:0FA1 0000000000000000FFFF00000201A80A:C3D4 01 0\n\
             4: 0301A80A:D431 0901A80A:0FA1 01 0\n";
        assert_eq!(count(table, Ipv4Addr::new(10, 168, 1, 2)), 2);
    }
}

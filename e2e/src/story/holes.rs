//! The chart's table of network holes, hole by hole.

use std::collections::BTreeSet;

use super::ensure;
use crate::world::{Error, Result};

/// Ports that something of ours listens at, and some where nothing does.
pub const PORTS: [(&str, u16); 9] = [
    ("TCP", 53),
    ("UDP", 53),
    ("TCP", 443),
    ("TCP", 4001),
    ("TCP", 8080),
    ("TCP", 8081),
    ("TCP", 8443),
    ("TCP", 9090),
    ("UDP", 4001),
];
const TABLE: &str = include_str!("../../../charts/coreward/NETWORK.md");

/// From whom, to whom, and a port such as `TCP 8443`.
pub type Hole = (String, String, String);

/// The names of [`PORTS`], as a hole has them.
#[must_use]
pub fn ports() -> [String; 9] {
    PORTS.map(|(protocol, port)| format!("{protocol} {port}"))
}

/// The holes of the table between these pairs of ends, each by its words there.
///
/// # Errors
/// [`Error::Finding`] where a row of the table has another number of cells than four.
pub fn written(pairs: &BTreeSet<(&str, &str)>) -> Result<BTreeSet<Hole>> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| "));
    let mut holes = BTreeSet::new();
    for row in rows.filter(|row| !row.starts_with("| from") && !row.starts_with("| ---")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [from, to, open, _why] = cells[..] else {
            return Err(Error::Finding(format!("no row of four cells: {row}")));
        };
        let open: Vec<String> = match open {
            "any" => ports().to_vec(),
            some => some.split(", ").map(str::to_owned).collect(),
        };
        for from in from.split(", ") {
            for to in to.split(", ").filter(|to| pairs.contains(&(from, to))) {
                let hole = |port: &String| (from.to_owned(), to.to_owned(), port.clone());
                holes.extend(open.iter().map(hole));
            }
        }
    }
    Ok(holes)
}

/// Fails unless what is open is what is written.
///
/// # Errors
/// [`Error::Finding`] with each hole that is in one of them alone.
pub fn same(open: &BTreeSet<Hole>, written: &BTreeSet<Hole>) -> Result<()> {
    let unwritten = words(open.difference(written));
    ensure(unwritten.is_empty(), || format!("open, and not in NETWORK.md: {unwritten}"))?;
    let closed = words(written.difference(open));
    ensure(closed.is_empty(), || format!("in NETWORK.md, and closed: {closed}"))
}

fn words<'a>(holes: impl Iterator<Item = &'a Hole>) -> String {
    holes.map(|(from, to, port)| format!("{from} → {to} {port}")).collect::<Vec<_>>().join("; ")
}

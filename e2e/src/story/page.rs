//! The leader's metrics page.

use super::{client, ensure, pods};
use crate::world::{Result, World};

/// The values of the series of one name that carry all of `labels`.
///
/// # Errors
/// [`crate::world::Error::Finding`] where the page has none; [`crate::world::Error::Cluster`] where nobody leads.
pub async fn values(world: &World, name: &str, labels: &[(&str, &str)]) -> Result<Vec<f64>> {
    let leader = pods::leader(&world.client()).await?;
    let address = leader.status.and_then(|status| status.pod_ip).unwrap_or_default();
    let url = format!("http://{address}:9090/metrics");
    let (_, page) = client::get(&client::http()?, &url).await?;
    let found = values_in(&page, name, labels);
    ensure(!found.is_empty(), || format!("{url} has no {name} with {labels:?}"))?;
    Ok(found)
}

fn values_in(page: &str, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let start = format!("{name}{{");
    let wanted: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    page.lines()
        .filter(|line| line.starts_with(&start) && wanted.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_name_and_labels() {
        let page = "# HELP a words\na{b=\"1\",c=\"2\"} 3.5\na{b=\"2\",c=\"2\"} 4\naa{b=\"1\"} 9\n";
        assert_eq!(values_in(page, "a", &[("b", "1")]), [3.5]);
        assert_eq!(values_in(page, "a", &[("c", "2")]), [3.5, 4.0]);
        assert!(values_in(page, "a", &[("c", "3")]).is_empty());
    }
}

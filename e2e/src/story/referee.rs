//! A referee of network policies: whether they let a connection through, by the words of the policies alone, apart from
//! any network that enforces them.

use std::{collections::BTreeMap, fs};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use serde::Serialize;
use serde_json::json;

use super::listed;
use crate::world::{Error, Result, World};

/// One end of a connection: a pod with its labels, or an address outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Peer {
    /// The pod; none for an address outside.
    pub internal: Option<Inside>,
    /// Its address, of either IP family.
    #[serde(rename = "IP")]
    pub ip: String,
}

/// What policies see of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inside {
    /// Its labels.
    pub pod_labels: BTreeMap<String, String>,
    /// The labels of its namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// Its namespace.
    pub namespace: String,
}

/// A connection that somebody may want.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Connection {
    /// Who wants it.
    pub source: Peer,
    /// To whom.
    pub destination: Peer,
    /// The port that is wanted.
    pub resolved_port: u16,
    /// Always empty: ports are asked for by number.
    pub resolved_port_name: String,
    /// `TCP` or `UDP`.
    pub protocol: String,
}

/// Whether the cluster's policies, as they are now, let each of these connections through.
///
/// # Errors
/// [`Error::Cluster`] where the policies cannot be read, [`Error::Finding`] where the referee gives no answer.
pub async fn judge(world: &World, connections: &[Connection]) -> Result<Vec<bool>> {
    let policies: Api<NetworkPolicy> = Api::all(world.client());
    let policies = listed(&policies).await?;
    let failed = |error: &dyn std::fmt::Display| Error::Finding(format!("the referee: {error}"));
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let rules = folder.path().join("policies");
    fs::create_dir(&rules).map_err(|error| failed(&error))?;
    for (count, policy) in policies.iter().enumerate() {
        let metadata =
            json!({ "name": policy.metadata.name, "namespace": policy.metadata.namespace });
        let text = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": policy.spec,
        });
        let file = rules.join(format!("{count}.yaml"));
        fs::write(file, text.to_string()).map_err(|error| failed(&error))?;
    }
    let wanted = folder.path().join("connections.json");
    fs::write(&wanted, json!(connections).to_string()).map_err(|error| failed(&error))?;
    let mut referee = tokio::process::Command::new(world.bed().programs().join("cyclonus"));
    referee.args(["analyze", "--mode", "query-traffic", "--policy-path"]).arg(&rules);
    let output = referee.arg("--traffic-path").arg(&wanted).kill_on_drop(true).output().await;
    let output = output.map_err(|error| failed(&error))?;
    let answers = answers(&String::from_utf8_lossy(&output.stdout));
    if answers.len() == connections.len() {
        return Ok(answers);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::Finding(format!(
        "the referee gave {} answers to {} questions: {words}",
        answers.len(),
        connections.len()
    )))
}

/// The last line of each of the referee's tables says whether.
fn answers(text: &str) -> Vec<bool> {
    let lines = text.lines().map(str::to_lowercase);
    let rows = lines.filter(|line| line.trim_start_matches(['|', ' ']).starts_with("is allowed?"));
    rows.map(|line| line.contains("true")).collect()
}

#[cfg(test)]
mod tests {
    use super::answers;

    #[test]
    fn the_referees_tables_are_read() {
        let text = "Is traffic allowed?\n+---+\n|    TYPE     | ACTION | TARGET |\n+---+\n| IS ALLOWED? |  TRUE  |        |\n+---+\n\
            Is traffic allowed?\n| Egress | Deny | namespace: x |\n| IS ALLOWED? | FALSE  |        |\n";
        assert_eq!(answers(text), [true, false]);
    }
}

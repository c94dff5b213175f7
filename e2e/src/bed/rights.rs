//! Whether the operator has just the rights that it uses, by the API server's audit log.

use std::{collections::BTreeSet, fmt, fs, path::Path};

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use serde::Deserialize;

use super::{
    Bed, NAMESPACE,
    error::{Error, Result},
    paths::{self, Paths},
};

/// The operator's roles, as the chart names them in the bed's release.
const ROLE: &str = "coreward-operator";
/// Rights whose use the stories do not show, as verb and resource. The admission of `OpenShift` asks for the first beyond the request
/// itself. The others are of moments that no story waits for: an address family that changes, hundreds of transactions that
/// are over, a conflict over one.
const SELDOM: [(&str, &str); 4] = [
    ("create", "endpointslices/restricted"),
    ("delete", "endpointslices"),
    ("delete", "chaintransactions"),
    ("get", "chaintransactions"),
];
/// Only what the product's own accounts ask, and how it ended.
const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - { level: Metadata, userGroups: ["system:serviceaccounts:coreward-system"] }
  - { level: None }
"#;

/// Writes the audit policy of the bed's API server; returns the arguments that name it and the log.
///
/// # Errors
/// [`Error::File`].
pub(super) fn audit(paths: &Paths) -> Result<[String; 2]> {
    let policy = paths.state.join("audit-policy.yaml");
    paths::write(&policy, POLICY)?;
    let log = paths.log("audit");
    if let Some(folder) = log.parent() {
        paths::make_folder(folder)?;
    }
    Ok([
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
    ])
}

/// A right: in one namespace or in all, on which resource, to do what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    namespace: Option<String>,
    group: String,
    resource: String,
    verb: String,
}

impl Right {
    /// Whether a request that takes this right wants `granted`. An apply that makes an object is logged as a patch, and is
    /// asked whether it may create as well.
    fn needs(&self, granted: &Self) -> bool {
        let is_verb = self.verb == granted.verb
            || (granted.verb == "create" && self.verb == "patch" && !self.resource.contains('/'));
        is_verb
            && (&self.group, &self.resource) == (&granted.group, &granted.resource)
            && (granted.namespace.is_none() || granted.namespace == self.namespace)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, group, resource, verb } = self;
        let place = namespace.as_deref().unwrap_or("all namespaces");
        write!(f, "{verb} {resource} of group \"{group}\" in {place}")
    }
}

/// A line of the audit log.
#[derive(Debug, Deserialize)]
struct Line {
    verb: String,
    user: User,
    #[serde(rename = "requestURI")]
    address: String,
    #[serde(rename = "objectRef")]
    object: Option<Object>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    api_group: String,
}

impl Line {
    fn is_refused(&self) -> bool {
        let decision = self.annotations.get("authorization.k8s.io/decision");
        decision.is_some_and(|decision| decision == "forbid")
    }

    /// The right that the request took.
    fn right(&self) -> Right {
        let path = self.address.split('?').next().unwrap_or_default().to_owned();
        let verb = self.verb.clone();
        match &self.object {
            None => Right { namespace: None, group: String::new(), resource: path, verb },
            Some(object) => {
                let slash = if object.subresource.is_empty() { "" } else { "/" };
                let resource = format!("{}{slash}{}", object.resource, object.subresource);
                let (namespace, group) = (object.namespace.clone(), object.api_group.clone());
                Right { namespace, group, resource, verb }
            }
        }
    }
}

/// What the operator asked for without a right, and the rights that it never used.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rights {
    used: usize,
    refused: BTreeSet<String>,
    unused: BTreeSet<String>,
}

impl Rights {
    /// Whether use and rights are the same.
    #[must_use]
    pub fn are_used(&self) -> bool {
        self.refused.is_empty() && self.unused.is_empty()
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operator uses {} of its rights", self.used)?;
        for refused in &self.refused {
            write!(f, "\n  refused: {refused}")?;
        }
        for unused in &self.unused {
            write!(f, "\n  never used, or given twice: {unused}")?;
        }
        Ok(())
    }
}

/// Compares the rights that the chart gives the operator with what it asked for since the bed came up.
///
/// # Errors
/// [`Error::File`] without a log; those of the cluster.
pub async fn rights(bed: &Bed) -> Result<Rights> {
    let everywhere: Api<ClusterRole> = Api::all(bed.client().clone());
    let everywhere = everywhere.get(ROLE).await.map_err(Error::cluster("read the ClusterRole"))?;
    let here: Api<Role> = Api::namespaced(bed.client().clone(), NAMESPACE);
    let here = here.get(ROLE).await.map_err(Error::cluster("read the Role"))?;
    let mut granted = expanded(None, everywhere.rules.unwrap_or_default());
    granted.extend(expanded(Some(NAMESPACE), here.rules.unwrap_or_default()));
    Ok(compare(&granted, &lines(&bed.paths().log("audit"))?))
}

fn expanded(namespace: Option<&str>, rules: Vec<PolicyRule>) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in rules {
        let groups = rule.api_groups.unwrap_or_default();
        let resources = rule.resources.unwrap_or_default();
        let mut of: Vec<(String, String)> = Vec::new();
        for group in groups {
            of.extend(resources.iter().map(|resource| (group.clone(), resource.clone())));
        }
        let paths = rule.non_resource_urls.unwrap_or_default();
        of.extend(paths.into_iter().map(|path| (String::new(), path)));
        for (group, resource) in of {
            let namespace = namespace.map(ToOwned::to_owned);
            rights.extend(rule.verbs.iter().map(|verb| Right {
                namespace: namespace.clone(),
                group: group.clone(),
                resource: resource.clone(),
                verb: verb.clone(),
            }));
        }
    }
    rights
}

fn lines(log: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(log).map_err(Error::file("read the audit log", log))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn compare(granted: &[Right], lines: &[Line]) -> Rights {
    let operator = format!("system:serviceaccount:{NAMESPACE}:coreward-operator");
    let own = lines.iter().filter(|line| line.user.username == operator);
    let taken: BTreeSet<Right> = own.filter(|line| !line.is_refused()).map(Line::right).collect();
    let of_accounts = |line: &&Line| line.user.username.starts_with("system:serviceaccount:");
    let refused = lines.iter().filter(of_accounts).filter(|line| line.is_refused());
    let refused =
        refused.map(|line| format!("{} by {}", line.right(), line.user.username)).collect();
    let is_used = |right: &&Right| {
        let is_given_twice = right.namespace.is_some()
            && granted.contains(&Right { namespace: None, ..(*right).clone() });
        let is_taken = taken.iter().any(|taken| taken.needs(right));
        let is_seldom = SELDOM.contains(&(right.verb.as_str(), right.resource.as_str()));
        is_seldom || (is_taken && !is_given_twice)
    };
    let (used, unused): (Vec<&Right>, Vec<&Right>) = granted.iter().partition(is_used);
    Rights { used: used.len(), refused, unused: unused.iter().map(ToString::to_string).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn right(namespace: Option<&str>, resource: &str, verb: &str) -> Right {
        Right {
            namespace: namespace.map(ToOwned::to_owned),
            group: String::new(),
            resource: resource.to_owned(),
            verb: verb.to_owned(),
        }
    }

    fn line(verb: &str, resource: &str, decision: &str) -> Line {
        serde_json::from_value(json!({
            "verb": verb, "requestURI": "/api/v1/x?watch=true",
            "user": { "username": "system:serviceaccount:coreward-system:coreward-operator" },
            "objectRef": { "resource": resource, "namespace": NAMESPACE },
            "annotations": { "authorization.k8s.io/decision": decision },
        }))
        .unwrap()
    }

    #[test]
    fn a_right_that_nobody_took_is_told() {
        let granted = [right(None, "pods", "get"), right(None, "pods", "delete")];
        let found = compare(&granted, &[line("get", "pods", "allow")]);
        assert_eq!((found.used, found.unused.len(), found.refused.len()), (1, 1, 0));
        assert!(found.to_string().contains("delete pods"), "{found}");
    }

    #[test]
    fn a_right_that_is_given_twice_is_told() {
        let granted = [right(None, "pods", "get"), right(Some(NAMESPACE), "pods", "get")];
        let found = compare(&granted, &[line("get", "pods", "allow")]);
        assert!(!found.are_used());
    }

    #[test]
    fn what_was_refused_is_told() {
        let found = compare(
            &[right(None, "pods", "get")],
            &[line("get", "secrets", "forbid"), line("get", "pods", "allow")],
        );
        assert_eq!((found.refused.len(), found.unused.len()), (1, 0));
    }
}

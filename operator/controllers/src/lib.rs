//! The operator: the only crate that talks to Kubernetes.

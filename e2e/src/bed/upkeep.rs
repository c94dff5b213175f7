//! What an engineer does to a node that is up.

use super::{
    Bed,
    command::Run,
    error::{Error, Result},
    node::Node,
    process,
};

/// What `kubectl` says.
///
/// # Errors
/// [`Error::Failed`] with its words.
pub async fn kubectl(bed: &Bed, words: &[&str]) -> Result<String> {
    let operation = format!("kubectl {}", words.join(" "));
    let run = Run::new(bed.programs().join("kubectl"), operation);
    run.env("KUBECONFIG", bed.kubeconfig()).args(words).output().await
}

/// Ends a node's kubelet; its containers go on.
///
/// # Errors
/// [`Error::Failed`] where it does not end.
pub async fn stop_kubelet(bed: &Bed, node: Node) -> Result<()> {
    let name = node.process("kubelet");
    process::end(bed.paths(), std::slice::from_ref(&name)).await;
    match process::alive(bed.paths(), &name) {
        None => Ok(()),
        Some(id) => Err(Error::Failed {
            program: name,
            operation: "end the kubelet".into(),
            output: format!("process {id} is still there"),
        }),
    }
}

/// Starts a node's kubelet again; nothing where it runs.
///
/// # Errors
/// [`Error::Start`], [`Error::File`].
pub fn start_kubelet(bed: &Bed, node: Node) -> Result<()> {
    if process::alive(bed.paths(), &node.process("kubelet")).is_some() {
        return Ok(());
    }
    node.start_kubelet(bed.paths(), bed.addresses(), bed.programs())
}

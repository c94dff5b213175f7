//! What an engineer does to a bed that is up.

use super::{
    Bed,
    command::Run,
    control_plane,
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
    end(bed, &node.process("kubelet")).await
}

/// Ends the API server; whoever it served goes on without it.
///
/// # Errors
/// [`Error::Failed`] where it does not end.
pub async fn stop_api_server(bed: &Bed) -> Result<()> {
    end(bed, control_plane::API_SERVER).await
}

async fn end(bed: &Bed, name: &str) -> Result<()> {
    process::end(bed.paths(), &[name.to_owned()]).await;
    match process::alive(bed.paths(), name) {
        None => Ok(()),
        Some(id) => Err(Error::Failed {
            program: name.to_owned(),
            operation: format!("end {name}"),
            output: format!("process {id} is still there"),
        }),
    }
}

/// Starts the API server again, where it does not run, and waits until it is ready.
///
/// # Errors
/// [`Error::Start`], [`Error::File`], [`Error::Late`].
pub async fn start_api_server(bed: &Bed) -> Result<()> {
    if process::alive(bed.paths(), control_plane::API_SERVER).is_none() {
        control_plane::start_api_server(bed.paths(), bed.addresses(), bed.programs())?;
    }
    control_plane::ready(bed.paths(), bed.client()).await
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

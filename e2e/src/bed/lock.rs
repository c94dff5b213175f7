//! One process at a time: a lock on a file, which the kernel gives back whatever happens to its holder.

use std::{convert::identity, fs::File, io, path::Path};

use super::{
    error::{Error, Result},
    paths,
    progress::step,
};

/// Waits for the lock; it is held as long as the file is open.
///
/// # Errors
/// [`Error::File`].
pub(super) async fn take(path: &Path, holder: &str) -> Result<File> {
    if let Some(folder) = path.parent() {
        paths::make_folder(folder)?;
    }
    let file = File::create(path).map_err(Error::file("create", path))?;
    let wait = async {
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
        locked.map_err(io::Error::other).and_then(identity).map_err(Error::file("lock", path))
    };
    step(format_args!("waiting for {holder}"), wait).await
}

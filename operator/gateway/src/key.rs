//! The gateway's own key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coreward_link::durable;

/// The key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("keep the key in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} holds {bytes} bytes, and a key has 32: put the right file back, or remove it for a new key, which others learn \
         of only from the chain", path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// What it holds.
        bytes: usize,
    },
}

/// The seed of the key in the state directory; made if there is none yet.
///
/// # Errors
///
/// [`KeyError`]: an unreadable key is never replaced, since others know the gateway by it.
pub(crate) fn load_or_make(state: &Path) -> Result<[u8; 32], KeyError> {
    let path = state.join("key");
    match fs::read(&path) {
        Ok(bytes) => {
            bytes.try_into().map_err(|bytes: Vec<u8>| KeyError::Length { path, bytes: bytes.len() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let seed: [u8; 32] = rand::random();
            match durable::replace(&path, &seed) {
                Ok(()) => Ok(seed),
                Err(source) => Err(KeyError::File { path, source }),
            }
        }
        Err(source) => Err(KeyError::File { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_stays() {
        let state = tempfile::tempdir().unwrap();
        let made = load_or_make(state.path()).unwrap();
        assert_eq!(load_or_make(state.path()).unwrap(), made);
    }

    #[test]
    fn a_key_that_is_not_whole_is_not_replaced() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("key"), [7; 31]).unwrap();
        let error = load_or_make(state.path()).unwrap_err();
        assert!(matches!(error, KeyError::Length { bytes: 31, .. }), "{error}");
        assert_eq!(fs::read(state.path().join("key")).unwrap(), [7; 31]);
    }
}

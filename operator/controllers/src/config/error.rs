//! What can be wrong with the configuration file.

use std::path::PathBuf;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("use configuration file {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What.
        source: Problem,
    },
}

/// What is wrong in the file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not YAML, an unknown or missing field, or a wrong type; the source names the field and the line.
    #[error("the text does not have the fields of a configuration")]
    Shape {
        /// The parser's words.
        source: Box<serde_yaml::Error>,
    },
    /// A field has a value that cannot work.
    #[error("{field}: {fix}")]
    Field {
        /// Path of the field, e.g. `networks[0].endpoints`.
        field: String,
        /// What is wrong and what to write instead.
        fix: String,
    },
}

impl Problem {
    pub(super) fn field(field: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Field { field: field.into(), fix: fix.into() }
    }
}

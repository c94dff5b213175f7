//! The sources of this workspace, for tests of what prose says of tests.

use std::{fs, io, path::Path};

/// The text of every Rust file of the operator and of the stories.
#[derive(Debug)]
pub struct Sources(String);

impl Sources {
    /// Reads them all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read() -> io::Result<Self> {
        let mut text = String::new();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for folder in ["operator", "e2e"] {
            add(&workspace.join(folder), &mut text)?;
        }
        Ok(Self(text))
    }

    /// Whether a function of this name is there.
    #[must_use]
    pub fn have_function(&self, name: &str) -> bool {
        self.0.contains(&format!("fn {name}("))
    }
}

fn add(folder: &Path, text: &mut String) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

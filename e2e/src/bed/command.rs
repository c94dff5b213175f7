//! Programs that run to their end.

use std::{
    io,
    path::Path,
    process::{Output, Stdio},
};

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    error::{Error, Result},
    paths,
};

/// Lines of a failed program that its error repeats.
const LAST_LINES: usize = 6;

/// A program to run to its end.
#[derive(Debug)]
pub(super) struct Run {
    program: String,
    operation: String,
    input: Option<Vec<u8>>,
    command: Command,
}

impl Run {
    /// A program, and what it is to do: the words after "cannot" when it fails.
    pub(super) fn new(program: impl AsRef<Path>, operation: impl Into<String>) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.env("PATH", paths::search_path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self {
            program: program.display().to_string(),
            operation: operation.into(),
            input: None,
            command,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub(super) fn args<A: AsRef<std::ffi::OsStr>>(
        mut self,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.command.args(args);
        self
    }

    /// Runs in this folder.
    #[must_use]
    pub(super) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub(super) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it this on its standard input.
    #[must_use]
    pub(super) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self.command.stdin(Stdio::piped());
        self
    }

    /// Runs it and returns what it wrote to its standard output, and whether it failed.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub(super) async fn whatever(mut self) -> Result<(String, Result<()>)> {
        let output = match self.finish().await {
            Ok(output) => output,
            Err(source) => {
                return Err(Error::Start {
                    program: self.program,
                    operation: self.operation,
                    source,
                });
            }
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok((text, Ok(())));
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        let told = if errors.trim().is_empty() { text.as_str() } else { errors.as_ref() };
        let output = last_lines(told);
        let failed = Error::Failed { program: self.program, operation: self.operation, output };
        Ok((text, Err(failed)))
    }

    /// Runs it and returns what it wrote to its standard output.
    ///
    /// # Errors
    /// [`Error::Start`], or [`Error::Failed`] with its last lines.
    pub(super) async fn output(self) -> Result<String> {
        let (text, ended) = self.whatever().await?;
        ended.map(|()| text)
    }

    async fn finish(&mut self) -> io::Result<Output> {
        let mut child = self.command.spawn()?;
        if let (Some(input), Some(mut pipe)) = (self.input.take(), child.stdin.take()) {
            pipe.write_all(&input).await?;
        }
        child.wait_with_output().await
    }
}

/// The last few lines of a text, on one line each.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines.get(first..).unwrap_or_default().join("\n")
}

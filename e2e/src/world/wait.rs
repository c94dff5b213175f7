//! Waiting with a condition and a limit.

use std::time::Duration;

use super::{Error, Result};

/// Pause between two looks: far below any limit, far above what a look costs.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looks until `look` gives something, and gives that; a failing look counts as "not yet" and is told in the end.
///
/// A look that itself hangs is cut off by the limit as well.
///
/// # Errors
/// [`Error::Late`] with what the last look gave.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut last = "nothing".to_owned();
    let looking = async {
        loop {
            match look().await {
                Ok(Some(found)) => return found,
                Ok(None) => "not so".clone_into(&mut last),
                Err(error) => last = chain_of(&error),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    match tokio::time::timeout(limit, looking).await {
        Ok(found) => Ok(found),
        Err(_) => Err(Error::Late { what: what.to_owned(), limit, last }),
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_gives_what_the_look_found() {
        let mut looks = 0;
        let found = until("the third look", Duration::from_secs(5), async || {
            looks += 1;
            Ok((looks == 3).then_some("found"))
        })
        .await;
        assert_eq!(found.unwrap(), "found");
    }

    #[tokio::test]
    async fn a_wait_that_fails_tells_the_last_look() {
        let nothing = until("a miracle", Duration::from_millis(1), async || {
            Err::<Option<()>, _>(Error::Finding("the sky is blue".to_owned()))
        })
        .await;
        let text = nothing.unwrap_err().to_string();
        assert_eq!(text, "after 1ms still not: a miracle (last: the sky is blue)");
    }
}

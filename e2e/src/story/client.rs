//! HTTP as a customer speaks it.

use std::time::Duration;

use crate::world::{Error, Result};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What every client is built from.
pub fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().timeout(ANSWER).no_proxy()
}

/// A client with a pool of connections and a limit.
///
/// # Errors
/// [`Error::Finding`] where none can be made.
pub fn http() -> Result<reqwest::Client> {
    builder()
        .build()
        .map_err(|error| Error::Finding(format!("no HTTP client can be made: {error}")))
}

/// Status and body of a GET.
///
/// # Errors
/// [`Error::Finding`] where there is no answer.
pub async fn get(client: &reqwest::Client, url: &str) -> Result<(u16, String)> {
    let silent =
        |error: reqwest::Error| Error::Finding(format!("{url} does not answer: {error:?}"));
    let answer = client.get(url).send().await.map_err(silent)?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.map_err(silent)?))
}

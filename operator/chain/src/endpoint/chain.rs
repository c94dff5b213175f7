//! Whether a node is of the chain that is configured: asked before anything is read from it.

use alloy::providers::Provider;
use tokio::time::Instant;
use tracing::warn;

use super::{Ask, Code, Endpoint, Error, Pool};

impl Pool {
    /// Fails unless every node that answers is of this chain. From now on a node that did not answer, or fails, is asked for its
    /// chain before it is asked for anything else.
    ///
    /// # Errors
    ///
    /// [`Error::WrongChain`] for the first that is not, and the last error if none answers.
    pub async fn check_chain(&self, wanted: u64) -> Result<(), Error> {
        self.standing().chain = Some(wanted);
        let mut answer = Err(Error::NoEndpoint);
        for (index, endpoint) in self.0.endpoints.iter().enumerate() {
            match self.check_chain_of((index, endpoint), wanted).await {
                Err(error @ Error::WrongChain { .. }) => return Err(error),
                Ok(()) => answer = Ok(()),
                Err(error) if answer.is_err() => answer = Err(error),
                Err(_) => {}
            }
        }
        answer
    }

    async fn check_chain_of(
        &self,
        (index, endpoint): (usize, &Endpoint),
        wanted: u64,
    ) -> Result<(), Error> {
        let found =
            self.ask_at(endpoint, Ask::ChainId, async |node| node.get_chain_id().await).await?;
        if found != wanted {
            self.0.observer.asked(&endpoint.name, Ask::ChainId, Code::Outvoted);
            return Err(Error::WrongChain { endpoint: endpoint.name.clone(), found, wanted });
        }
        self.standing().of_chain.insert(index, Instant::now());
        Ok(())
    }

    /// Whoever failed may have come back as another node: behind a balancer, after a restart, by a new address. Who did not is
    /// asked now and then.
    pub(super) async fn check_chain_again(
        &self,
        (index, endpoint): (usize, &Endpoint),
    ) -> Result<(), Error> {
        let Some(wanted) = self.standing().unsaid_chain(index) else { return Ok(()) };
        let is_news = !self.standing().demoted().contains(&index);
        let said = self.check_chain_of((index, endpoint), wanted).await;
        said.inspect_err(|error| {
            if is_news && matches!(error, Error::WrongChain { .. }) {
                warn!(endpoint.name = endpoint.name, %error, "an endpoint is left out");
            }
        })
    }
}

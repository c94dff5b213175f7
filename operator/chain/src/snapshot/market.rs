//! What holds for everybody: rules, tokens, providers, offers, wallets.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use coreward_domain::chain::{Datacenter, Offer, Provider, ResourceKind, Rules, Watchlist};
use coreward_domain::epoch::Calendar;
use coreward_domain::id::{DatacenterId, OfferId, ResourceId};

use super::batch::{Answer, Answers, Batch, Ticket};
use super::{VIEW_GAS, small};
use crate::Contracts;
use crate::abi::{Diamond, Multicall3};
use crate::decode::class_from_wire;
use crate::revert::{Refusal, Revert};

/// Gas of views over all datacenters or all kinds of resources: measured 132 k for some ten.
const LIST_GAS: u64 = 500_000;

/// Gas of an offer with its prices.
const OFFER_GAS: u64 = 200_000;

type Views = (
    Ticket<Diamond::getOfferV2Call>,
    Ticket<Diamond::getBaseOfferCall>,
    Ticket<Diamond::getOfferDatacenterCall>,
);

/// Places of the answers.
#[derive(Debug)]
pub(super) struct Questions {
    constants: Ticket<Diamond::getAllConstantsCall>,
    max_units: Ticket<Diamond::maxUnitCountPerProviderCall>,
    global_nonce: Ticket<Diamond::getGlobalNonceCall>,
    difficulty: Ticket<Diamond::difficultyCall>,
    datacenters: Ticket<Diamond::getDatacentersCall>,
    resources: Ticket<Diamond::getResourcesCall>,
    tokens: BTreeMap<Address, Ticket<Diamond::isPaymentTokenAllowedCall>>,
    providers:
        BTreeMap<Address, (Ticket<Diamond::getProviderInfoCall>, Ticket<Diamond::isApprovedCall>)>,
    offers: BTreeMap<OfferId, Views>,
    wallets: BTreeMap<Address, Ticket<Multicall3::getEthBalanceCall>>,
}

impl Questions {
    /// Asks.
    pub(super) fn ask(batch: &mut Batch, contracts: &Contracts, watch: &Watchlist) -> Self {
        let diamond = contracts.diamond;
        let token = |batch: &mut Batch, token: &Address| {
            batch.ask(
                diamond,
                &Diamond::isPaymentTokenAllowedCall { paymentToken: *token },
                VIEW_GAS,
            )
        };
        let provider = |batch: &mut Batch, provider: &Address| {
            let info =
                batch.ask(diamond, &Diamond::getProviderInfoCall { provider: *provider }, VIEW_GAS);
            (info, batch.ask(diamond, &Diamond::isApprovedCall { account: *provider }, VIEW_GAS))
        };
        let offer = |batch: &mut Batch, offer: &OfferId| {
            let view = batch.ask(diamond, &Diamond::getOfferV2Call { offerId: offer.0 }, OFFER_GAS);
            let base =
                batch.ask(diamond, &Diamond::getBaseOfferCall { offerId: offer.0 }, VIEW_GAS);
            (
                view,
                base,
                batch.ask(diamond, &Diamond::getOfferDatacenterCall { offerId: offer.0 }, VIEW_GAS),
            )
        };
        let wallet = |batch: &mut Batch, wallet: &Address| {
            batch.ask(
                contracts.multicall3,
                &Multicall3::getEthBalanceCall { addr: *wallet },
                VIEW_GAS,
            )
        };
        Self {
            constants: batch.ask(diamond, &Diamond::getAllConstantsCall {}, OFFER_GAS),
            max_units: batch.ask(diamond, &Diamond::maxUnitCountPerProviderCall {}, VIEW_GAS),
            global_nonce: batch.ask(diamond, &Diamond::getGlobalNonceCall {}, VIEW_GAS),
            difficulty: batch.ask(diamond, &Diamond::difficultyCall {}, VIEW_GAS),
            datacenters: batch.ask(diamond, &Diamond::getDatacentersCall {}, LIST_GAS),
            resources: batch.ask(diamond, &Diamond::getResourcesCall {}, LIST_GAS),
            tokens: watch.tokens.iter().map(|id| (*id, token(batch, id))).collect(),
            providers: watch.providers.iter().map(|id| (*id, provider(batch, id))).collect(),
            offers: watch.offers.iter().map(|id| (*id, offer(batch, id))).collect(),
            wallets: watch.wallets.iter().map(|id| (*id, wallet(batch, id))).collect(),
        }
    }

    /// The rules and the calendar; `None` if any part is unknown.
    pub(super) fn rules(&self, answers: &Answers) -> Option<(Rules, Calendar)> {
        let constants = answers.get(self.constants).value()?;
        let (capacity, market) = (constants.constants1, constants.constants2);
        let rules = Rules {
            min_proofs: capacity.minProofsPerEpoch.saturating_to(),
            max_proofs: capacity.maxProofsPerEpoch.saturating_to(),
            collateral_per_unit: capacity.fltCollateralPerUnit,
            min_duration: small(capacity.minDuration),
            max_duration: small(capacity.maxDuration),
            min_units_per_commitment: small(market.minCUPerCommitment),
            max_units_per_commitment: small(market.maxCUPerCommitment),
            max_failed_ratio: small(capacity.maxFailedRatio),
            slashing_rate: small(capacity.slashingRate),
            withdraw_epochs_after_failed: small(capacity.withdrawEpochsAfterFailed),
            vesting_period_duration: small(capacity.vestingPeriodDuration),
            vesting_period_count: small(capacity.vestingPeriodCount),
            min_deal_deposited_epochs: small(market.minDealDepositedEpoch),
            max_units_per_provider: small(answers.get(self.max_units).value()?),
        };
        let calendar = Calendar {
            init_timestamp: small(market.initTimestamp),
            epoch_duration: small(market.epochDuration),
        };
        Some((rules, calendar))
    }

    /// The global nonce and the difficulty; `None` if unknown.
    pub(super) fn puzzle(
        &self,
        answers: &Answers,
    ) -> Option<(alloy::primitives::B256, alloy::primitives::B256)> {
        Some((answers.get(self.global_nonce).value()?, answers.get(self.difficulty).value()?))
    }

    /// Tokens that are known to be allowed or not.
    pub(super) fn tokens(&self, answers: &Answers) -> BTreeMap<Address, bool> {
        let known = self
            .tokens
            .iter()
            .filter_map(|(token, ticket)| Some((*token, answers.get(*ticket).value()?)));
        known.collect()
    }

    /// Balances that are known.
    pub(super) fn wallets(&self, answers: &Answers) -> BTreeMap<Address, U256> {
        let known = self
            .wallets
            .iter()
            .filter_map(|(wallet, ticket)| Some((*wallet, answers.get(*ticket).value()?)));
        known.collect()
    }

    /// Providers that are known.
    pub(super) fn providers(&self, answers: &Answers) -> BTreeMap<Address, Provider> {
        let known = self.providers.iter().filter_map(|(address, (info, approved))| {
            let info = answers.get(*info).value()?;
            let approved = answers.get(*approved).value()?;
            Some((
                *address,
                Provider { name: info.name, unit_count: small(info.unitCount), approved },
            ))
        });
        known.collect()
    }

    /// Offers that are known, or known not to be.
    pub(super) fn offers(&self, answers: &Answers) -> BTreeMap<OfferId, Option<Offer>> {
        let known = self.offers.iter().filter_map(|(id, views)| offer(*views, answers).entry(*id));
        known.collect()
    }

    /// All datacenters; `None` if unknown.
    pub(super) fn datacenters(
        &self,
        answers: &Answers,
    ) -> Option<BTreeMap<DatacenterId, Datacenter>> {
        let one = |view: Diamond::Datacenter| {
            let datacenter = Datacenter {
                country_code: view.countryCode,
                city_code: view.cityCode,
                index: small(view.index),
            };
            (DatacenterId(view.id), datacenter)
        };
        Some(answers.get(self.datacenters).value()?.into_iter().map(one).collect())
    }

    /// All kinds of resources that we know the class of; `None` if unknown.
    pub(super) fn resources(
        &self,
        answers: &Answers,
    ) -> Option<BTreeMap<ResourceId, ResourceKind>> {
        let one = |view: Diamond::ResourceView| {
            let kind = ResourceKind { class: class_from_wire(view.ty)?, metadata: view.metadata };
            Some((ResourceId(view.id), kind))
        };
        Some(answers.get(self.resources).value()?.into_iter().filter_map(one).collect())
    }
}

/// Refused means that there is no such offer.
fn offer((view, base, datacenter): Views, answers: &Answers) -> Answer<Offer> {
    let view = match answers.get(view) {
        Answer::Value(view) if view.provider.is_zero() => {
            return Answer::Refused(Revert::Known(Refusal::OfferMissing));
        }
        Answer::Value(view) => view,
        Answer::Refused(revert) if revert.is_absence() => return Answer::Refused(revert),
        Answer::Refused(_) | Answer::Unknown => return Answer::Unknown,
    };
    let base = answers.get(base).value();
    let datacenter = answers.get(datacenter).value();
    let (Some(base), Some(datacenter)) = (base, datacenter) else { return Answer::Unknown };
    Answer::Value(Offer {
        provider: view.provider,
        payment_token: view.paymentToken,
        prices: view
            .prices
            .into_iter()
            .map(|price| (price.resourceId.into(), price.price))
            .collect(),
        datacenter: datacenter.into(),
        peer_count: small(base.peerCount),
    })
}

//! Many views in few calls.

use core::marker::PhantomData;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::rpc::types::BlockId;
use alloy::sol_types::SolCall;

use crate::abi::Multicall3;
use crate::encode::Encoded;
use crate::endpoint::{Error, Pool};
use crate::revert::Revert;

/// Gas that one `eth_call` may be expected to need: five sixths of the 30 M that nodes commonly grant.
const GAS_PER_CALL: u64 = 25_000_000;

/// How much more a view that came back empty is assumed to need when it is asked again.
const SECOND_LOOK: u64 = 8;

/// A contract's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// So it is.
    Value(T),
    /// The contract refused, and said why.
    Refused(Revert),
    /// No answer: out of gas, no such contract, bytes that make no sense.
    Unknown,
}

impl<T> Answer<T> {
    /// The value, if there is one.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Refused(_) | Self::Unknown => None,
        }
    }

    /// Reads further; what does not read is unknown, and so is a refusal here.
    pub(super) fn and_then<U>(self, read: impl FnOnce(T) -> Option<U>) -> Answer<U> {
        self.value().and_then(read).map_or(Answer::Unknown, Answer::Value)
    }

    /// An entry of a snapshot: what was refused is known not to be, what is unknown has none.
    pub(super) fn entry<K>(self, key: K) -> Option<(K, Option<T>)> {
        match self {
            Self::Value(value) => Some((key, Some(value))),
            Self::Refused(_) => Some((key, None)),
            Self::Unknown => None,
        }
    }

    /// The value, or its substitute where the contract refuses; `None` if nothing is known.
    pub(super) fn or_when_refused(self, substitute: T) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Refused(_) => Some(substitute),
            Self::Unknown => None,
        }
    }
}

/// The place of an answer.
#[derive(Debug)]
pub(super) struct Ticket<C> {
    index: usize,
    call: PhantomData<C>,
}

impl<C> Clone for Ticket<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Ticket<C> {}

/// Views to ask for together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    calls: Vec<Multicall3::Call3>,
    gas: Vec<u64>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answers(Vec<Raw>);

#[derive(Clone, Debug)]
enum Raw {
    Returned(Bytes),
    Refused(Revert),
    Unknown,
}

impl Batch {
    /// Adds a view that needs about this much gas.
    pub(super) fn ask<C: SolCall>(&mut self, target: Address, call: &C, gas: u64) -> Ticket<C> {
        let index = self.calls.len();
        self.calls.push(Multicall3::Call3 {
            target,
            allowFailure: true,
            callData: call.abi_encode().into(),
        });
        self.gas.push(gas);
        Ticket { index, call: PhantomData }
    }

    /// Asks for everything at one block; what came back empty is asked for once more in smaller parts.
    pub(super) async fn run(
        self,
        pool: &Pool,
        multicall3: Address,
        block: B256,
    ) -> Result<Answers, Error> {
        let mut raws = vec![Raw::Unknown; self.calls.len()];
        let all: Vec<usize> = (0..self.calls.len()).collect();
        self.look(&all, 1, (pool, multicall3, block), &mut raws).await?;
        let empty: Vec<usize> = all
            .into_iter()
            .filter(|index| matches!(raws.get(*index), Some(Raw::Unknown)))
            .collect();
        self.look(&empty, SECOND_LOOK, (pool, multicall3, block), &mut raws).await?;
        Ok(Answers(raws))
    }

    async fn look(
        &self,
        wanted: &[usize],
        factor: u64,
        (pool, multicall3, block): (&Pool, Address, B256),
        raws: &mut [Raw],
    ) -> Result<(), Error> {
        for part in self.parts(wanted, factor) {
            let calls = part.iter().filter_map(|index| self.calls.get(*index).cloned()).collect();
            let input = Multicall3::aggregate3Call { calls }.abi_encode();
            let call = Encoded { to: multicall3, input: input.into(), value: U256::ZERO };
            let returned = match pool.call_at(Address::ZERO, &call, BlockId::hash(block)).await {
                Ok(returned) => {
                    Multicall3::aggregate3Call::abi_decode_returns(&returned).unwrap_or_default()
                }
                // Out of gas as a whole; the second look is in smaller parts.
                Err(Error::Reverted(_)) => Vec::new(),
                Err(error) => return Err(error),
            };
            for (index, outcome) in part.iter().zip(returned) {
                if let Some(raw) = raws.get_mut(*index) {
                    *raw = Raw::from(outcome);
                }
            }
        }
        Ok(())
    }

    fn parts(&self, wanted: &[usize], factor: u64) -> Vec<Vec<usize>> {
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for index in wanted {
            let gas = self.gas.get(*index).copied().unwrap_or_default().saturating_mul(factor);
            match parts.last_mut() {
                Some(part) if gas <= room => {
                    part.push(*index);
                    room -= gas;
                }
                Some(_) | None => {
                    parts.push(vec![*index]);
                    room = GAS_PER_CALL.saturating_sub(gas);
                }
            }
        }
        parts
    }
}

impl From<Multicall3::Outcome> for Raw {
    fn from(outcome: Multicall3::Outcome) -> Self {
        if outcome.success {
            return Self::Returned(outcome.returnData);
        }
        let revert = Revert::decode(&outcome.returnData);
        if revert.is_fact() { Self::Refused(revert) } else { Self::Unknown }
    }
}

impl Answers {
    /// The answer to one view.
    pub(super) fn get<C: SolCall>(&self, ticket: Ticket<C>) -> Answer<C::Return> {
        match self.0.get(ticket.index) {
            Some(Raw::Returned(data)) => {
                C::abi_decode_returns(data).map_or(Answer::Unknown, Answer::Value)
            }
            Some(Raw::Refused(revert)) => Answer::Refused(revert.clone()),
            Some(Raw::Unknown) | None => Answer::Unknown,
        }
    }
}

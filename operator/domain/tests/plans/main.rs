//! The plans told as tables, stories and properties, against a small model of the contracts.

mod adopt;
mod arbitrary;
mod commitment;
mod conditions;
mod contract;
mod deal;
mod deal_conditions;
mod drain;
mod failover;
mod market;
mod offer;
mod offer_stops;
mod offer_terms;
mod orphan;
mod payout;
mod proof;
mod properties;
mod renewal;
mod story;
mod turn;
mod unit;
mod withdraw;
mod wrong;

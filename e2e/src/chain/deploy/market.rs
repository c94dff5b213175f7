//! What the owner announces before anyone offers: kinds of resources, and datacenters.

use alloy::primitives::U256;

use super::super::abi::{Diamond, NewDatacenter, ResourceDescription};

/// Kind (vCPU 0, RAM 1, storage 2, public address 3, bandwidth 4) and metadata; ids count from 1 in this order.
const RESOURCES: [(u8, &str); 10] = [
    (0, r#"{"manufacturer": "AMD", "brand": "EPYC", "architecture": "Zen", "generation": "2"}"#),
    (
        0,
        r#"{"manufacturer": "Intel", "brand": "Xeon(R) Gold", "architecture": "Cascade Lake", "generation": "2"}"#,
    ),
    (1, r#"{"type": "DDR", "generation": "4"}"#),
    (1, r#"{"type": "DDR", "generation": "5"}"#),
    (2, r#"{"type": "SSD"}"#),
    (2, r#"{"type": "NVMe SSD"}"#),
    (4, r#"{"type": "dedicated"}"#),
    (4, r#"{"type": "shared"}"#),
    (3, r#"{"version": "4"}"#),
    (3, r#"{"version": "6"}"#),
];

/// Country, city, index and tier; ids count from 1 in this order.
const DATACENTERS: [(&str, &str, u64, u64); 7] = [
    ("FR", "PAR", 1, 2),
    ("DE", "BER", 1, 3),
    ("DE", "BER", 2, 4),
    ("US", "NY", 1, 1),
    ("US", "NY", 2, 2),
    ("PL", "WA", 1, 1),
    ("PL", "KR", 1, 1),
];

pub(super) fn resources() -> Diamond::registerResourcesCall {
    let resources =
        RESOURCES.map(|(ty, metadata)| ResourceDescription { ty, metadata: metadata.to_owned() });
    Diamond::registerResourcesCall { resources: resources.into() }
}

pub(super) fn datacenters() -> Diamond::createDatacentersCall {
    let datacenters = DATACENTERS.map(|(country, city, index, tier)| NewDatacenter {
        countryCode: country.to_owned(),
        cityCode: city.to_owned(),
        index: U256::from(index),
        tier: U256::from(tier),
        certifications: Vec::new(),
    });
    Diamond::createDatacentersCall { datacenters: datacenters.into() }
}

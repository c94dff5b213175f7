//! Artifacts by CID: fetched within bounds and verified.

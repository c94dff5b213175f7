//! Coreward's kinds: the Rust types, and the YAML made from them.

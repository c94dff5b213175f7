//! How much the key-value store holds, and what is said to a component that wants more.

/// Bytes of one value.
pub(super) const VALUE_BYTES: usize = 512 << 10;
/// Bytes of one key.
pub(super) const KEY_BYTES: usize = 1024;
/// Bytes of a bucket's name.
pub(super) const NAME_BYTES: usize = 64;
/// Buckets that hold something.
pub(super) const BUCKETS: u64 = 16;
/// Keys in all buckets together.
pub(super) const KEYS: u64 = 65_536;
/// Keys of one call to `batch`.
pub(super) const BATCH_KEYS: usize = 256;
/// Bytes of values of one call to `batch`.
pub(super) const BATCH_BYTES: usize = 512 << 10;
/// Bytes that each key counts beside its own and its value's: what the store keeps to find it.
pub(super) const KEY_COSTS: u64 = 64;
/// The store of a worker whose deal allocates no storage.
const SMALL_BYTES: u64 = 16 << 20;
/// The largest store, however much the deal allocates: it lies beside the compiled code.
const LARGE_BYTES: u64 = 256 << 20;
/// On the volume the store may take so many times what it counts: pages are never quite full, and a change is written beside
/// what it replaces.
const ON_THE_VOLUME: u64 = 4;

/// Bounds of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of keys, values, and what each key costs.
    pub(crate) bytes: u64,
}

impl Bounds {
    /// The bounds of a worker whose deal allocates `storage_mib` for it: what lies on the volume stays within that.
    pub(crate) fn of_storage(storage_mib: u64) -> Self {
        let allocated = storage_mib.saturating_mul(1 << 20) / ON_THE_VOLUME;
        Self { bytes: allocated.clamp(SMALL_BYTES, LARGE_BYTES) }
    }
}

/// Why the store does not do what a component asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No room.
    #[error(
        "the key-value store is full: it holds {held} of {most} bytes, and this needs {more} more; delete keys"
    )]
    Full {
        /// Bytes in it.
        held: u64,
        /// Bytes that it needs.
        more: u64,
        /// The bound.
        most: u64,
    },
    /// Too many keys.
    #[error("the key-value store is full: it has room for {KEYS} keys; delete some")]
    Keys,
    /// Too many buckets.
    #[error("the key-value store has room for {BUCKETS} buckets; empty one, or use fewer")]
    Buckets,
    /// A value.
    #[error(
        "a value of {bytes} bytes is larger than the {VALUE_BYTES} that the key-value store takes"
    )]
    Value {
        /// Its length.
        bytes: usize,
    },
    /// A key.
    #[error("a key of {bytes} bytes: the key-value store takes 1 to {KEY_BYTES}")]
    Key {
        /// Its length.
        bytes: usize,
    },
    /// A bucket's name.
    #[error("a bucket's name of {bytes} bytes: the key-value store takes up to {NAME_BYTES}")]
    BucketName {
        /// Its length.
        bytes: usize,
    },
    /// Too much at once.
    #[error(
        "one call takes up to {BATCH_KEYS} keys and {BATCH_BYTES} bytes of values; make it several"
    )]
    Batch,
    /// What is to be incremented is no number, or would be too large.
    #[error("the value is not a number in decimal that can grow by {delta}")]
    NotANumber {
        /// By how much it should grow.
        delta: u64,
    },
    /// A handle.
    #[error("the bucket cannot be used: {0}")]
    Handle(String),
    /// The volume.
    #[error("the key-value store failed: {0}")]
    Broken(String),
}

impl Refusal {
    /// The bound that was met, for the metric; `None` where it is no bound.
    pub(super) const fn bound(&self) -> Option<&'static str> {
        match self {
            Self::Full { .. } => Some("bytes"),
            Self::Keys => Some("keys"),
            Self::Buckets => Some("buckets"),
            Self::Value { .. } => Some("value"),
            Self::Key { .. } => Some("key"),
            Self::BucketName { .. } => Some("bucket_name"),
            Self::Batch => Some("batch"),
            Self::Broken(_) => Some("volume"),
            Self::NotANumber { .. } | Self::Handle(_) => None,
        }
    }
}

/// Whether the store takes this key.
pub(super) fn check_key(key: &str) -> Result<(), Refusal> {
    let bytes = key.len();
    if (1..=KEY_BYTES).contains(&bytes) { Ok(()) } else { Err(Refusal::Key { bytes }) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Bounds;

    #[rstest]
    #[case::without_storage(0, 16)]
    #[case::with_less_than_the_least(8, 16)]
    #[case::a_quarter_of_what_is_allocated(400, 100)]
    #[case::never_more_than_the_volume_is_good_for(1 << 40, 256)]
    fn the_store_grows_with_what_the_deal_allocates(#[case] storage: u64, #[case] mib: u64) {
        assert_eq!(Bounds::of_storage(storage).bytes, mib << 20);
    }
}

//! What can be wrong with an artifact.

/// The classes of fault, for conditions and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No gateway answered in time; worth another try.
    GatewayUnreachable,
    /// Every gateway said that there is none.
    NotFound,
    /// Bytes came that do not hash to their CID.
    DigestMismatch,
    /// More bytes, blocks or depth than allowed.
    TooLarge,
    /// A CID, block or archive that is not what it must be; the same each time.
    Malformed,
}

/// Why there is no artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// At least one gateway was asked and gave no usable answer, and none had the block.
    #[error("get block `{cid}`: no gateway gave an answer: {reason}")]
    GatewayUnreachable {
        /// The block.
        cid: String,
        /// What the last of them did.
        reason: String,
    },
    /// Every gateway answered 404 or 410.
    #[error("get block `{cid}`: not found on any of {gateways} gateways")]
    NotFound {
        /// The block.
        cid: String,
        /// How many were asked.
        gateways: usize,
    },
    /// Wrong bytes.
    #[error("verify block `{cid}`: the bytes from {from} have another digest")]
    DigestMismatch {
        /// The block.
        cid: String,
        /// Who gave the bytes.
        from: String,
    },
    /// A bound was passed.
    #[error("read `{cid}`: more than {limit} {unit}")]
    TooLarge {
        /// The block or file at which it was noticed.
        cid: String,
        /// The bound.
        limit: u64,
        /// What the bound counts: bytes, blocks or levels.
        unit: &'static str,
    },
    /// Not what it must be.
    #[error("read `{cid}`: {reason}")]
    Malformed {
        /// The CID, or the text that should have been one.
        cid: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The class.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::GatewayUnreachable { .. } => Fault::GatewayUnreachable,
            Self::NotFound { .. } => Fault::NotFound,
            Self::DigestMismatch { .. } => Fault::DigestMismatch,
            Self::TooLarge { .. } => Fault::TooLarge,
            Self::Malformed { .. } => Fault::Malformed,
        }
    }

    /// Whether another try can give another result. False only for what follows from the CID itself.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::GatewayUnreachable { .. }
            | Self::NotFound { .. }
            | Self::DigestMismatch { .. } => true,
            Self::TooLarge { .. } | Self::Malformed { .. } => false,
        }
    }

    pub(crate) fn malformed(cid: &(impl ToString + ?Sized), reason: impl Into<String>) -> Self {
        Self::Malformed { cid: cid.to_string(), reason: reason.into() }
    }
}

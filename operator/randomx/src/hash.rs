//! What comes out, and what it is held against.

use core::cmp::Ordering;
use core::fmt;
use core::marker::PhantomData;

/// A hash of one function, read as a big-endian number where it is compared.
pub struct Hash<F>([u8; 32], PhantomData<F>);

/// The greatest hash of one function that counts as a proof, read as a big-endian number.
///
/// A hash of another function cannot be held against it:
///
/// ```compile_fail,E0308
/// use coreward_randomx::{Difficulty, Fluence, Hash, Stock};
///
/// fn is_proof(hash: &Hash<Stock>) -> bool {
///     Difficulty::<Fluence>::new([0xff; 32]).is_met_by(hash)
/// }
/// ```
pub struct Difficulty<F>([u8; 32], PhantomData<F>);

impl<F> Hash<F> {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes, PhantomData)
    }

    /// The bytes in the order in which `RandomX` gives them.
    #[must_use]
    pub const fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl<F> Difficulty<F> {
    /// The difficulty of these bytes, the first one weighing most.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes, PhantomData)
    }

    /// Whether `hash` is a proof; equality counts.
    #[must_use]
    pub fn is_met_by(&self, hash: &Hash<F>) -> bool {
        hash.0.cmp(&self.0) != Ordering::Greater
    }
}

/// Writes what derives would ask of `F` that no function needs.
macro_rules! plain {
    ($name:ident) => {
        impl<F> Clone for $name<F> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<F> Copy for $name<F> {}

        impl<F> PartialEq for $name<F> {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }

        impl<F> Eq for $name<F> {}

        impl<F> fmt::Display for $name<F> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl<F> fmt::Debug for $name<F> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }
    };
}

plain!(Hash);
plain!(Difficulty);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::Stock;

    #[rstest]
    #[case::far_below(0, 0x00, true)]
    #[case::the_first_byte_equal(0, 0x24, true)]
    #[case::the_first_byte_above(0, 0x25, false)]
    #[case::the_last_byte_equal(31, 7, true)]
    #[case::the_last_byte_above(31, 8, false)]
    fn a_difficulty_is_the_greatest_hash(#[case] at: usize, #[case] byte: u8, #[case] met: bool) {
        let mut limit = [0; 32];
        (limit[0], limit[31]) = (0x24, 7);
        let mut hash = limit;
        hash[at] = byte;
        assert_eq!(Difficulty::<Stock>::new(limit).is_met_by(&Hash::new(hash)), met);
    }

    #[test]
    fn a_hash_is_shown_in_hex() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        assert!(Hash::<Stock>::new(bytes).to_string().starts_with("ab00"));
    }
}

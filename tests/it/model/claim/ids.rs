//! A set of the provider's ids.

use std::fmt;

/// Ids are small numbers, so a set is a mask.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ids(u16);

impl Ids {
    pub(super) fn of(id: u8) -> Self {
        Self(1 << id)
    }

    pub(super) fn has(self, id: u8) -> bool {
        self.0 & (1 << id) != 0
    }

    pub(super) fn with(self, id: u8) -> Self {
        Self(self.0 | 1 << id)
    }

    pub(super) fn without(self, id: u8) -> Self {
        Self(self.0 & !(1 << id))
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn first(self) -> Option<u8> {
        (self.0 != 0).then(|| self.0.trailing_zeros().try_into().expect("less than 16"))
    }

    /// The lowest id that is not in the set.
    pub(super) fn first_free(self) -> u8 {
        self.0.trailing_ones().try_into().expect("at most 16")
    }

    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn each(self) -> impl Iterator<Item = u8> {
        (0..16).filter(move |id| self.has(*id))
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.each()).finish()
    }
}

//! How many wrong keys an address may show a second, on this replica.
//!
//! Whoever shows a good key is in nobody's way: addresses are counted only for calls that show none, since many
//! good callers may share one with a bad one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::bounded::make_room;

const WINDOW: Duration = Duration::from_secs(1);

/// The addresses that showed wrong keys lately.
#[derive(Debug)]
pub struct Strangers {
    per_second: Option<NonZeroU32>,
    shown: Mutex<HashMap<IpAddr, Shown>>,
}

#[derive(Debug)]
struct Shown {
    until: Instant,
    left: u32,
}

impl Strangers {
    /// So many a second; none is no limit.
    pub fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, shown: Mutex::default() }
    }

    /// Whether the address may show another that has to be looked up.
    pub fn are_welcome(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(&network(address)).is_none_or(|shown| shown.left > 0 || now >= shown.until)
    }

    /// Counts a call without a good key; false where it was one too many.
    pub fn take(&self, address: IpAddr) -> bool {
        let Some(per_second) = self.per_second else { return true };
        let (now, network) = (Instant::now(), network(address));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut shown, &network, |shown| now < shown.until);
        let anew = || Shown { until: now + WINDOW, left: per_second.get() };
        let shown = shown.entry(network).or_insert_with(anew);
        if now >= shown.until {
            *shown = anew();
        }
        let left = shown.left.checked_sub(1);
        shown.left = left.unwrap_or_default();
        left.is_some()
    }
}

/// What one party holds of addresses: of IPv6 it is a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::bounded::REMEMBERED_MAX;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_may_show_so_many_wrong_keys_a_second() {
        let strangers = Strangers::new(NonZeroU32::new(2));
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        assert!(strangers.take(one) && strangers.are_welcome(one) && strangers.take(one));
        assert!(!strangers.are_welcome(one) && !strangers.take(one) && strangers.are_welcome(other));
        assert!(!strangers.take(address("::ffff:10.0.0.1")), "the same, written otherwise");
        tokio::time::advance(WINDOW).await;
        assert!(strangers.are_welcome(one) && strangers.take(one) && strangers.take(one) && !strangers.take(one));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_the_sixth_version_is_one_party_and_memory_is_bounded() {
        let strangers = Strangers::new(NonZeroU32::new(1));
        assert!(strangers.take(address("2001:db8::1")));
        assert!(!strangers.take(address("2001:db8::ffff:2")) && strangers.take(address("2001:db8:0:1::1")));
        for n in 0..2 * u32::try_from(REMEMBERED_MAX).unwrap() {
            strangers.take(IpAddr::V4(n.into()));
        }
        assert!(strangers.shown.lock().unwrap().len() <= REMEMBERED_MAX);
        assert!((0..100).all(|_| Strangers::new(None).take(address("10.0.0.1"))));
    }
}

//! Runners, which drive workers on their hosts.

pub(super) mod sync;

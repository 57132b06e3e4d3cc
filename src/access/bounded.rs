//! Maps that a stranger cannot make grow for ever.

use std::collections::HashMap;
use std::hash::Hash;

/// How many entries a map has at most.
pub(super) const REMEMBERED_MAX: usize = 10_000;

/// Makes room for one more: what is over goes first, then anything.
pub(super) fn make_room<K: Clone + Eq + Hash, V>(map: &mut HashMap<K, V>, id: &K, is_fresh: impl Fn(&V) -> bool) {
    if map.len() < REMEMBERED_MAX || map.contains_key(id) {
        return;
    }
    map.retain(|_, value| is_fresh(value));
    if map.len() >= REMEMBERED_MAX {
        let any: Vec<K> = map.keys().take(REMEMBERED_MAX / 10).cloned().collect();
        for id in any {
            map.remove(&id);
        }
    }
}

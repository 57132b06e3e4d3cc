//! Which master of a Cluster serves which slot.

use std::collections::BTreeSet;

/// How many slots a Cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// A view of the slots, put together from what several nodes say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SlotMap {
    masters: Vec<String>,
    // The place of the master among them; empty before anything is known.
    owners: Vec<Option<u16>>,
}

/// What one node says of one master.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    epoch: u64,
    address: String,
    ranges: Vec<(u16, u16)>,
}

impl SlotMap {
    /// The map out of answers to `CLUSTER NODES`, each with the address of who gave it, the oldest first. Where
    /// they differ, the newer epoch is right: a master that was away comes back with an old one.
    pub(super) fn read<'a>(answers: impl IntoIterator<Item = (&'a str, &'a str)>, by_name: bool) -> Self {
        let mut claims: Vec<Claim> = answers
            .into_iter()
            .flat_map(|(from, nodes)| {
                let host = from.rsplit_once(':').map_or(from, |(host, _)| host);
                nodes.lines().filter_map(move |line| claim(line, host, by_name))
            })
            .collect();
        claims.sort_by_key(|claim| claim.epoch);
        let masters: BTreeSet<&String> = claims.iter().map(|claim| &claim.address).collect();
        let masters: Vec<String> = masters.into_iter().cloned().collect();
        let mut owners = vec![None; SLOTS.into()];
        for claim in &claims {
            let place = masters.iter().position(|master| *master == claim.address);
            let place = place.and_then(|place| u16::try_from(place).ok());
            for &(first, last) in &claim.ranges {
                owners[usize::from(first)..=usize::from(last)].fill(place);
            }
        }
        Self { masters, owners }
    }

    /// The address of the slot's master.
    pub(super) fn master_of(&self, slot: u16) -> Option<&str> {
        let place = (*self.owners.get(usize::from(slot))?)?;
        self.masters.get(usize::from(place)).map(String::as_str)
    }

    /// All masters that serve slots.
    pub(super) fn masters(&self) -> Vec<String> {
        let serving: BTreeSet<u16> = self.owners.iter().flatten().copied().collect();
        serving.into_iter().filter_map(|place| self.masters.get(usize::from(place)).cloned()).collect()
    }

    /// How many slots nobody serves.
    pub(super) fn uncovered(&self) -> usize {
        usize::from(SLOTS) - self.owners.iter().flatten().count()
    }
}

/// The slot of a key: of its hash tag, where it has one.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let length = rest.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &rest[..length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

// CRC-16/XMODEM, as the specification of the Cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

/// `<id> <ip:port@bus[,name]> <flags> <master> <ping> <pong> <epoch> <link> <slot>…`; none where it is no
/// master that serves slots. Slots on the move stand in brackets and count for where they are still.
fn claim(line: &str, host: &str, by_name: bool) -> Option<Claim> {
    let mut words = line.split(' ');
    let (_, address, flags) = (words.next()?, words.next()?, words.next()?);
    let has = |flag: &str| flags.split(',').any(|word| word == flag);
    if !has("master") || has("noaddr") {
        return None;
    }
    let epoch = words.nth(3)?.parse().ok()?;
    let ranges: Vec<_> = words.skip(1).filter_map(range).collect();
    if ranges.is_empty() {
        return None;
    }
    let (address, name) = address.split_once(',').unwrap_or((address, ""));
    let name = name.split(',').next().unwrap_or_default();
    let (ip, port) = address.split('@').next()?.rsplit_once(':')?;
    let host = match ip {
        _ if by_name && !name.is_empty() => name,
        // It does not know its own address yet: the one under which it was reached will do.
        "" => host,
        ip => ip,
    };
    let address = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    Some(Claim { epoch, address, ranges })
}

fn range(word: &str) -> Option<(u16, u16)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < SLOTS).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-5460 [93->-cc]\n\
                     bb 127.0.0.1:7002@17002,b.example master - 0 0 2 connected 5461-10922 16000\n\
                     cc 127.0.0.1:7003@17003 master,fail - 0 0 3 connected 10923-15999 16001-16383\n\
                     dd 127.0.0.1:7004@17004 slave cc 0 0 3 connected\n";

    #[test]
    fn a_key_is_in_the_slot_of_its_tag() {
        // Figures of `CLUSTER KEYSLOT`.
        assert_eq!(slot_of(b"123456789"), 12_739);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"x:{foo}:dispatch:default:lobby:guide"), 12_182);
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
    }

    #[test]
    fn the_masters_and_their_slots_are_read() {
        let map = SlotMap::read([("localhost", A)], false);
        assert_eq!(map.master_of(0), Some("127.0.0.1:7001"));
        assert_eq!(map.master_of(93), Some("127.0.0.1:7001"));
        assert_eq!(map.master_of(16_000), Some("127.0.0.1:7002"));
        assert_eq!(map.master_of(16_383), Some("127.0.0.1:7003"));
        assert_eq!((map.uncovered(), map.masters().len()), (0, 3));
        assert_eq!(SlotMap::read([("localhost", A)], true).master_of(6000), Some("b.example:7002"));
        let alone = SlotMap::read([("redis-1:7001", "aa :7001@17001 myself,master - 0 0 0 connected 5\n")], false);
        assert_eq!((alone.master_of(5), alone.uncovered()), (Some("redis-1:7001"), 16_383));
    }

    #[test]
    fn the_newer_epoch_is_right_whoever_is_asked_first() {
        let newer = A.replace(
            "dd 127.0.0.1:7004@17004 slave cc 0 0 3 connected",
            "dd 127.0.0.1:7004@17004 master - 0 0 4 connected 10923-15999 16001-16383",
        );
        for answers in [[("x", A), ("y", newer.as_str())], [("y", newer.as_str()), ("x", A)]] {
            let map = SlotMap::read(answers, false);
            assert_eq!(map.master_of(11_000), Some("127.0.0.1:7004"));
            assert!(!map.masters().contains(&"127.0.0.1:7003".to_owned()));
        }
    }
}

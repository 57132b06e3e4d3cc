//! Where a page of a list ended: opaque to callers, and checked when it comes back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The cursor after this member of the list's index in this shard.
pub(crate) fn encode(shard: u16, member: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{shard} {member}"))
}

/// Shard and member of a cursor; `None` where it is none of ours.
pub(crate) fn decode(cursor: &str) -> Option<(u16, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (shard, member) = text.split_once(' ')?;
    let name_like = |c: char| c.is_ascii_alphanumeric() || "_.@-%:".contains(c);
    let well_formed = member.chars().all(name_like);
    well_formed.then_some((shard.parse().ok()?, member.to_owned()))
}

/// The cursor of a list that is told by rank, where so many were passed over.
pub(crate) fn of_rank(rank: u64) -> String {
    encode(0, &rank.to_string())
}

/// How many such a cursor passes over; `None` where it is none of ours.
pub(crate) fn rank(cursor: Option<&str>) -> Option<u64> {
    cursor.map_or(Some(0), |cursor| decode(cursor)?.1.parse().ok())
}

/// The longest page of a list that goes through the shards.
pub(crate) const LIMIT_MAX: u32 = 1000;

/// A page of a list that goes through the shards: by shard, then by member.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The shard that it begins in.
    pub(crate) first: u16,
    after: Option<String>,
    /// How many the page still takes.
    pub(crate) left: u32,
    /// Where the next page starts; none at the end.
    pub(crate) next_cursor: Option<String>,
}

impl Walk {
    /// From where the page before ended; `None` where that is no cursor of ours.
    pub(crate) fn begin(cursor: Option<&str>, limit: u32) -> Option<Self> {
        let (first, after) = match cursor {
            None => (0, None),
            Some(cursor) => decode(cursor).map(|(shard, member)| (shard, Some(member)))?,
        };
        Some(Self { first, after, left: limit.clamp(1, LIMIT_MAX), next_cursor: None })
    }

    /// The member that the page before ended with, for the shard that it begins in.
    pub(crate) fn after(&mut self) -> Option<String> {
        self.after.take()
    }

    /// Counts what a shard had, also where the page leaves some of it out; true once the page is full.
    pub(crate) fn is_full_with<T>(&mut self, shard: u16, found: &[(String, T)]) -> bool {
        self.left = self.left.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let is_full = self.left == 0;
        if is_full {
            self.next_cursor = found.last().map(|(member, _)| encode(shard, member));
        }
        is_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        assert_eq!(decode(&encode(17, "a%20b:guide")), Some((17, "a%20b:guide".to_owned())));
        for bad in ["", "x", "MTU", &encode(1, "a b"), &URL_SAFE_NO_PAD.encode("99999 a")] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}

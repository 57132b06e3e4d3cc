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

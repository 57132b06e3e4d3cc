//! Ids: kind, shard, `UUIDv7`, so that an id alone finds its shard: `dsp_17_0198c5d0…`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The text is no id of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of that kind")]
pub struct InvalidId;

/// When a `UUIDv7` was made, in milliseconds since 1970.
pub fn made_at_ms(unique: Uuid) -> u64 {
    // The first 48 bits.
    unique.as_u64_pair().0 >> 16
}

/// Makes a type of id for each kind.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name {
            shard: u16,
            unique: Uuid,
        }

        impl $name {
            /// A new id in the shard.
            pub fn new(shard: u16) -> Self {
                Self { shard, unique: Uuid::now_v7() }
            }

            /// The shard that holds what the id names.
            pub fn shard(self) -> u16 {
                self.shard
            }

            /// When it was made, in milliseconds since 1970, by the clock of whoever made it: for hints, not for decisions.
            pub fn made_at_ms(self) -> u64 {
                made_at_ms(self.unique)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, "_{}_{}"), self.shard, self.unique.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let rest = text.strip_prefix(concat!($kind, "_")).ok_or(InvalidId)?;
                let (shard, unique) = rest.split_once('_').ok_or(InvalidId)?;
                let id = Self {
                    shard: shard.parse().map_err(|_| InvalidId)?,
                    unique: Uuid::try_parse(unique).map_err(|_| InvalidId)?,
                };
                // One spelling an id: `dsp_017_…` and upper case name nothing.
                if id.to_string() == text { Ok(id) } else { Err(InvalidId) }
            }
        }
    )+};
}

ids! {
    /// The id of a dispatch. It survives every new dispatch at the provider.
    DispatchId = "dsp";
    /// The id of an API key. It is no secret.
    KeyId = "grk";
    /// The id of a worker of a pool.
    WorkerId = "wrk";
    /// The id of a session's lease of a worker.
    LeaseId = "lse";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = DispatchId::new(17);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<DispatchId>().is_err());
        assert!(id.to_string().replace("_17_", "_017_").parse::<DispatchId>().is_err());
        assert!("dsp_17_".parse::<DispatchId>().is_err());
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        let id: LeaseId = "lse_23_01a1ff958882726c985e81c964e9913d".parse().unwrap();
        assert_eq!(id.made_at_ms(), 1_795_289_352_322);
    }

    #[test]
    fn an_id_of_one_kind_is_none_of_another() {
        let (dispatch, key) = (DispatchId::new(3).to_string(), KeyId::new(3).to_string());
        assert!(dispatch.parse::<KeyId>().is_err() && key.parse::<DispatchId>().is_err());
        assert!(key.parse::<KeyId>().is_ok());
    }
}

//! What a room is called at the provider.
//!
//! LiveKit has one flat namespace of rooms a project, so the rooms `lobby` of two tenants must be two rooms
//! there. Rooms of the default tenant keep their name; a room of another tenant is `<tenant>::<room>`. A room
//! of the default tenant whose name reads like that is refused, so the name at the provider always leads
//! back to the one room that it stands for (see docs/adr/0009).

use super::{DispatchError, Place};
use crate::name::Name;

/// Between tenant and room. No tenant's name holds a colon.
const SEPARATOR: &str = "::";

/// The most characters that a room's name has at the provider.
pub const PROVIDER_ROOM_CHARS_MAX: usize =
    crate::name::TENANT_CHARS_MAX + SEPARATOR.len() + crate::name::NAME_CHARS_MAX;

impl Place {
    /// The room's name at the provider.
    pub fn provider_room(&self) -> String {
        if self.tenant.is_default_tenant() {
            return self.room.as_str().to_owned();
        }
        format!("{}{SEPARATOR}{}", self.tenant, self.room)
    }

    /// Refuses a room of the default tenant that reads as another tenant's.
    pub fn check(&self) -> Result<(), DispatchError> {
        let reserved = self.tenant.is_default_tenant() && split(self.room.as_str()).is_some();
        if reserved { Err(DispatchError::ReservedRoom) } else { Ok(()) }
    }
}

/// Tenant and room of a room at the provider; `None` where it can be none of ours.
pub fn room_of(provider_room: &str) -> Option<(Name, Name)> {
    let (tenant, room) = match split(provider_room) {
        None => (Name::default_tenant(), provider_room),
        Some((tenant, room)) => (Name::tenant(tenant).ok().filter(|tenant| !tenant.is_default_tenant())?, room),
    };
    Some((tenant, Name::room(room).ok()?))
}

/// What stands before and after the separator, where the former could be a tenant.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once(SEPARATOR).filter(|(tenant, _)| Name::strict(*tenant).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(tenant: &str, room: &str) -> Place {
        Place {
            tenant: Name::tenant(tenant).unwrap(),
            room: Name::room(room).unwrap(),
            agent: Name::strict("guide").unwrap(),
        }
    }

    #[test]
    fn rooms_of_two_tenants_are_two_rooms_at_the_provider() {
        assert_eq!(place("default", "lobby").provider_room(), "lobby");
        assert_eq!(place("acme", "lobby").provider_room(), "acme::lobby");
        assert_eq!(place("acme", "default::x").provider_room(), "acme::default::x");
    }

    #[test]
    fn a_room_that_reads_as_another_tenants_is_refused() {
        for room in ["acme::lobby", "default::lobby", "a::", "a.b-c_1::x::y", "acme:::x"] {
            assert!(matches!(place("default", room).check(), Err(DispatchError::ReservedRoom)), "{room}");
            assert!(place("acme", room).check().is_ok(), "{room}");
        }
        for room in ["a:b", "::x", "a b::c", "é::c", "stand-up"] {
            assert!(place("default", room).check().is_ok(), "{room}");
        }
    }

    #[test]
    fn what_can_be_none_of_ours_has_no_place() {
        let long = format!("{}::x", "t".repeat(65));
        for text in ["default::lobby", "acme::", "", long.as_str(), "acme::a\nb"] {
            assert_eq!(room_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_name_at_the_provider_leads_back_to_its_room(tenant in "default|[a-z:._-]{1,4}", room in "[a-b:. é]{1,8}") {
            let Ok(tenant) = Name::tenant(tenant) else { return Ok(()) };
            let place = Place { tenant, ..place("acme", &room) };
            if place.check().is_ok() {
                prop_assert_eq!(room_of(&place.provider_room()), Some((place.tenant, place.room)));
            }
        }
    }
}

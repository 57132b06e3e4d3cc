//! What the fields take and refuse.

use serde_json::{Value, json};

use super::*;

fn read<T: de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[test]
fn names_of_rooms_are_bounded_and_printable() {
    for good in ["a".to_owned(), "é".repeat(128), "☕ 東京 🦀".to_owned(), "{}".to_owned(), "a:b*{17}".to_owned()]
    {
        assert_eq!(read::<RoomName>(json!(good)).unwrap().0.as_str(), good);
    }
    for bad in [String::new(), "é".repeat(129), "a".repeat(100_000), "a\nb".into(), "a\0".into(), "\u{202E}".into()] {
        assert!(read::<RoomName>(json!(bad)).unwrap_err().contains("a room's name must"), "{bad:?}");
    }
    assert!(read::<RoomName>(json!(7)).is_err());
}

#[test]
fn names_of_agents_are_plain() {
    assert_eq!(read::<AgentName>(json!("voice-agent_1.2")).unwrap().0.as_str(), "voice-agent_1.2");
    for bad in ["", "a b", "{a}", "é", "a/b"] {
        assert!(read::<AgentName>(json!(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn numbers_and_texts_have_limits() {
    assert_eq!(read::<TtlSeconds>(json!(1)), Ok(TtlSeconds(1)));
    assert_eq!(read::<TtlSeconds>(json!(86_400)), Ok(TtlSeconds(86_400)));
    assert_eq!(read::<TtlSeconds>(json!(60.0)), Ok(TtlSeconds(60)));
    for bad in [json!(0), json!(86_401), json!(-1), json!(1.5), json!(1e300), json!(u64::MAX), json!("60"), json!(true)]
    {
        assert!(read::<TtlSeconds>(bad.clone()).is_err(), "{bad}");
    }
    for bad in ["1.5", "\"60\"", "true", "[]", "{}", "-1", "99999999999999999999"] {
        let error = serde_json::from_str::<TtlSeconds>(bad).unwrap_err();
        assert_eq!(error.classify(), serde_json::error::Category::Data, "{bad}: {error}");
        assert!(error.to_string().contains("1 to 86400"), "{error}");
    }
    assert!(read::<Metadata>(json!("x".repeat(METADATA_BYTES_MAX))).is_ok());
    assert!(read::<Metadata>(json!("x".repeat(METADATA_BYTES_MAX + 1))).is_err());
}

#[test]
fn words_are_those_of_the_domain() {
    for state in State::ALL {
        assert_eq!(read::<StateName>(json!(state.as_str())), Ok(StateName(state)));
    }
    assert!(read::<StateName>(json!("Active")).is_err());
    for session in [SessionState::Open, SessionState::Busy, SessionState::Closed] {
        assert_eq!(read::<Session>(json!(session.as_str())), Ok(Session(session)));
    }
    assert!(read::<Session>(json!("")).is_err());
}

#[test]
fn times_are_utc_with_milliseconds() {
    assert_eq!(serde_json::to_value(Timestamp(1_700_000_000_007)).unwrap(), "2023-11-14T22:13:20.007Z");
    assert!(serde_json::to_value(Timestamp(u64::MAX)).is_err());
}

//! What holds of a dispatch and its entries in the lanes, whatever happened before.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// Checks one dispatch against its entries in the lanes of the provider, the beats and the store.
pub(super) fn check_fields(
    fields: &HashMap<String, String>,
    provider: Option<u64>,
    beat: Option<u64>,
    forget: Option<u64>,
) -> Result<(), TestCaseError> {
    let number = |field: &str| fields.get(field).map(|value| value.parse::<u64>().expect("a whole number"));
    let has = |field: &str| fields.contains_key(field);
    prop_assert_eq!(has("claim"), has("claim_until"), "a claim and its deadline: {:?}", fields);
    prop_assert!(has("claim") || fields["state"] != "creating", "creating, and nobody is at it: {fields:?}");
    let due = [number("ttl_expires_at"), number("check_at")].into_iter().flatten().min();
    let due = due.map(|due| due.max(number("retry_at").unwrap_or(0)));
    prop_assert_eq!(provider, number("claim_until").or(due), "the lane of the provider: {:?}", fields);
    prop_assert_eq!(forget, number("forget_at"), "the lane of the store: {:?}", fields);
    prop_assert!(provider.or(forget).is_some(), "never looked at again: {fields:?}");
    let reports = has("reported_at") && fields.get("reported").is_some_and(|said| said != "closed") && !has("silent");
    prop_assert_eq!(beat.is_some(), reports, "the lane of the beats: {:?}", fields);
    prop_assert!(!has("provider_id") || has("dispatched_at"), "committed at no time: {fields:?}");
    let alive = matches!(fields["state"].as_str(), "active" | "idle");
    prop_assert!(!alive || has("provider_id"), "alive without an agent: {fields:?}");
    Ok(())
}

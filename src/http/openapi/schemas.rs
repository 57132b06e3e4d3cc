//! How the checked fields stand in the document: with the limits that reading them holds.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::access::{RATE_LIMIT_MAX, Scope};
use crate::alert::{AlertState, Rule};
use crate::dispatch::{PROVIDER_ROOM_CHARS_MAX, SessionState, State};
use crate::error_report::{CONTEXT_MAX, Category, GroupId, Severity};
use crate::http::fields::{
    AffinityName, AgentName, BreakerName, CAPACITY_MAX, CallOutcome, Capacity, CategoryName, ClockTime, DayName,
    DriverName, ERROR_BYTES_MAX, Environment, ErrorContext, ErrorText, FORCE_SECONDS_MAX, FencingToken, ForceSeconds,
    ForceTo, HTTP_STATUS_MAX, HttpStatus, KEY_LIFE_SECONDS_MAX, KeyLifeSeconds, KeyName, LEASE_SECONDS_MAX, Label,
    LeaseSeconds, LockName, LockOwner, METADATA_BYTES_MAX, Metadata, Note, ObservedName, PageRoomName, PermitId,
    PersonName, PoolNameText, PriorityName, RateLimitPerSecond, ResetModeName, RoomName, RunnerName,
    SNOOZE_SECONDS_MAX, STACK_BYTES_MAX, ScopeName, Session, SessionKey, SessionKind, SessionName, SeverityName,
    SnoozeSeconds, StackText, StateName, TOKEN_MAX, TTL_SECONDS_MAX, TenantName, TimeZoneName, Timestamp, TtlSeconds,
    VARIABLES_MAX, VersionName, WAIT_SECONDS_MAX, WORKER_LEASE_SECONDS_MAX, WaitSeconds, WorkerLeaseSeconds,
};
use crate::id::{DispatchId, KeyId, LeaseId, WorkerId};
use crate::name::{NAME_CHARS_MAX, TENANT_CHARS_MAX};
use crate::pool::{Day, ResetMode};

/// Printable characters, as [`crate::name::Name::room`] takes them. Readers of other languages know these escapes.
const PRINTABLE: &str = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029\u200B-\u200F\u202A-\u202E\u2066-\u2069\uFEFF]+$";

const PLAIN: &str = "^[A-Za-z0-9_.-]+$";

/// Kind, shard, unique part, in the one spelling that an id has.
const DISPATCH_ID: &str = "^dsp_(0|[1-9][0-9]{0,4})_[0-9a-f]{32}$";

macro_rules! schema {
    ($field:ident, $schema:expr) => {
        impl PartialSchema for $field {
            fn schema() -> RefOr<Schema> {
                Schema::Object($schema.build()).into()
            }
        }

        impl ToSchema for $field {
            fn name() -> Cow<'static, str> {
                stringify!($field).into()
            }
        }
    };
}

schema!(RoomName, name(PRINTABLE, "lobby", "A room's name: 1 to 128 printable characters, case-sensitive."));
schema!(AgentName, name(PLAIN, "guide", "An agent's name: 1 to 128 letters, digits, `_`, `.`, `-`."));
schema!(BreakerName, name(PLAIN, "crm", "A breaker's name: 1 to 128 letters, digits, `_`, `.`, `-`."));
schema!(PermitId, name(PLAIN, "01a1fd860d1e7230996d8c6a011145cb", "The permit, as it was given."));
schema!(Note, name(PRINTABLE, "maintenance", "Why, in words: 1 to 128 printable characters."));
schema!(
    CallOutcome,
    text("How the call ended: `failure` where what was called is not well; a refusal is a success.")
        .enum_values(Some(["success", "failure"]))
);
schema!(
    ForceTo,
    text("The state to hold it in; `auto` lets it go.").enum_values(Some(["open", "closed", "disabled", "auto"]))
);
schema!(ForceSeconds, whole("For how long, in seconds: at most thirty days.", FORCE_SECONDS_MAX));
schema!(PersonName, name(PRINTABLE, "ann", "A person's identity or name: 1 to 128 printable characters."));
schema!(
    Metadata,
    text("Text for the agent's job: at most 65,536 bytes of UTF-8, so fewer characters where they are not ASCII.")
        .max_length(Some(METADATA_BYTES_MAX))
        .examples(["{\"lang\":\"de\"}"])
);
schema!(
    PageRoomName,
    name(PRINTABLE, "lobby", "A room's name as LiveKit has it: `<tenant>::<room>` where the tenant is not `default`.")
        .max_length(Some(PROVIDER_ROOM_CHARS_MAX))
);
schema!(
    TenantName,
    name(PLAIN, "acme", "A tenant's name: 1 to 64 letters, digits, `_`, `.`, `-`.").max_length(Some(TENANT_CHARS_MAX))
);
schema!(KeyName, name(PRINTABLE, "web shop", "What a key is called: 1 to 128 printable characters."));
schema!(
    ScopeName,
    text("What a key opens; `admin` opens everything.").enum_values(Some(Scope::ALL.map(Scope::as_str)))
);
schema!(TtlSeconds, whole("A time to live, in seconds: 1 to 86,400 (a day).", TTL_SECONDS_MAX));
schema!(KeyLifeSeconds, whole("How long a key opens, in seconds: at most ten years.", KEY_LIFE_SECONDS_MAX));
schema!(LockName, name(PLAIN, "nightly-report", "A lock's name: 1 to 128 letters, digits, `_`, `.`, `-`."));
schema!(
    LockOwner,
    name(PRINTABLE, "worker-7", "Who holds a lock: 1 to 128 printable characters. Each holder needs one of its own.")
);
schema!(LeaseSeconds, whole("How long a lock is held unless it is renewed: 1 to 3,600 s.", LEASE_SECONDS_MAX));
schema!(WaitSeconds, whole("How long to wait for it: 0 to 30 s.", WAIT_SECONDS_MAX).minimum(Some(0)).examples([10]));
schema!(
    FencingToken,
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("A fencing token: higher than that of any holder before."))
        .minimum(Some(1))
        .maximum(Some(TOKEN_MAX))
        .examples([1_795_253_513_787_u64])
);
schema!(
    RateLimitPerSecond,
    whole("How many calls a key may make in each second, on all replicas together: 1 to 1,000,000.", RATE_LIMIT_MAX)
);
schema!(
    KeyId,
    text("An API key's id: kind, shard, unique part. It is no secret.")
        .pattern(Some("^grk_(0|[1-9][0-9]{0,4})_[0-9a-f]{32}$"))
        .examples(["grk_15_01a1fd860d1e7230996d8c6a011145cb"])
);
schema!(Label, name(PRINTABLE, "tts.synthesize", "What it is called: 1 to 128 printable characters."));
schema!(
    CategoryName,
    text("What kind of failure it is, by what can be done about it.")
        .enum_values(Some(Category::ALL.iter().map(|category| category.as_str())))
);
schema!(
    SeverityName,
    text("`low`: a caller's own business; `medium`; `high`: somebody is not served; `critical`: nobody is.")
        .enum_values(Some(Severity::ALL.iter().map(|severity| severity.as_str())))
);
schema!(
    ErrorText,
    text("What it said: 1 to 4,096 bytes of UTF-8, so fewer characters where they are not ASCII. The first 500 characters are kept in samples.")
        .min_length(Some(1))
        .max_length(Some(ERROR_BYTES_MAX))
        .examples(["connect ETIMEDOUT 10.0.0.7:443 after 5000ms"])
);
schema!(
    StackText,
    text("Where it happened: at most 32,768 bytes, of which the first 3,000 characters are kept.")
        .max_length(Some(STACK_BYTES_MAX))
);
schema!(
    ErrorContext,
    ObjectBuilder::new()
        .description(Some("What was going on: at most 16 texts by name, of which 200 characters each are kept."))
        .max_properties(Some(CONTEXT_MAX))
        .additional_properties(Some(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())))
);
schema!(HttpStatus, whole("The HTTP status that came with it: 1 to 999.", HTTP_STATUS_MAX));
schema!(SnoozeSeconds, whole("For how long, in seconds: 1 to 86,400 (a day).", SNOOZE_SECONDS_MAX));
schema!(
    GroupId,
    text("The id of a group of failures: the same failure of the same tenant always has the same one.")
        .pattern(Some("^err_[0-9a-f]{32}$"))
        .examples(["err_0198c5d0123470008000000000000000"])
);
schema!(PoolNameText, name(PLAIN, "guide", "A pool's name: 1 to 128 letters, digits, `_`, `.`, `-`."));
schema!(
    ResetModeName,
    text("Between two sessions: `soft`, the worker clears itself and that is checked; `restart`, its process is started anew; `fresh`, another worker takes its place.")
        .enum_values(Some(ResetMode::ALL.map(ResetMode::as_str)))
);
schema!(DayName, text("A day of the week.").enum_values(Some(Day::ALL.map(Day::as_str))));
schema!(
    ClockTime,
    text("A time of day, by the clocks of a time zone: `00:00` to `24:00`.")
        .pattern(Some("^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))
        .examples(["08:45"])
);
schema!(
    TimeZoneName,
    text("A name of the IANA's database of time zones.")
        .min_length(Some(1))
        .max_length(Some(64))
        .pattern(Some("^[A-Za-z0-9_+/-]+$"))
        .examples(["Europe/Berlin"])
);
schema!(VersionName, name(PLAIN, "2026-11-21", "A version: 1 to 128 letters, digits, `_`, `.`, `-`."));
schema!(SessionName, name(PRINTABLE, "ann", "A session's name: 1 to 128 printable characters."));
schema!(
    SessionKind,
    text("Whether a session is meant by its name or by its key: two that read alike are two sessions.")
        .enum_values(Some(["name", "key"]))
);
schema!(
    SessionKey,
    name(PRINTABLE, "account-7", "What a worker is kept for, an account say: 1 to 128 printable characters.")
);
schema!(
    PriorityName,
    text("A place in line. One step counts as much as a minute of waiting.")
        .enum_values(Some(["urgent", "high", "normal", "low"]))
);
schema!(
    AffinityName,
    text("Where the session's own worker is busy: `hint`, another will do; `queue`, wait for it; `fail`, refuse.")
        .enum_values(Some(["hint", "queue", "fail"]))
);
schema!(
    Environment,
    ObjectBuilder::new()
        .description(Some("Variables for the session: at most 64, of 65,536 bytes in all. Told to the worker alone."))
        .max_properties(Some(VARIABLES_MAX))
        .additional_properties(Some(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())))
);
schema!(RunnerName, name(PLAIN, "node-1", "A runner's name: 1 to 128 letters, digits, `_`, `.`, `-`."));
schema!(DriverName, name(PLAIN, "process", "What a runner starts workers with: letters, digits, `_`, `.`, `-`."));
schema!(
    ObservedName,
    text("How its runner says that a worker is.").enum_values(Some([
        "starting",
        "ready",
        "busy",
        "resetting",
        "stopping",
        "gone"
    ]))
);
schema!(
    WorkerLeaseSeconds,
    whole("How long the session has its worker unless it is renewed: 1 to 86,400 s.", WORKER_LEASE_SECONDS_MAX)
);
schema!(Capacity, whole("How many workers a runner may have: 0 to 200.", CAPACITY_MAX).minimum(Some(0)).examples([10]));
schema!(
    WorkerId,
    text("A worker's id: kind, shard, unique part.")
        .pattern(Some("^wrk_(0|[1-9][0-9]{0,3})_[0-9a-f]{32}$"))
        .examples(["wrk_15_01a1fd860d1e7230996d8c6a011145cb"])
);
schema!(
    LeaseId,
    text("The id of a session's lease of a worker: kind, shard, unique part.")
        .pattern(Some("^lse_(0|[1-9][0-9]{0,3})_[0-9a-f]{32}$"))
        .examples(["lse_15_01a1fd860d1e7230996d8c6a011145cb"])
);
schema!(Rule, text("The name of a rule.").enum_values(Some(Rule::ALL.map(Rule::as_str))));
schema!(
    AlertState,
    text("Whether a rule is raised.").enum_values(Some([AlertState::Ok, AlertState::Raised].map(AlertState::as_str)))
);
schema!(
    StateName,
    text("`creating`; `starting`: made, agent not seen yet; `active`: people are there; `idle`: nobody is; `degraded`: no agent came after five quick tries; `ending`; `failed`.")
        .enum_values(Some(State::ALL.map(State::as_str)))
);
schema!(
    Session,
    text("How the agent's session is. `closed` is final.")
        .enum_values(Some([SessionState::Open, SessionState::Busy, SessionState::Closed].map(SessionState::as_str)))
);
schema!(
    Timestamp,
    text("A time, RFC 3339 in UTC with milliseconds.")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-11-21T09:53:03.263Z"])
);
schema!(
    DispatchId,
    text("A dispatch's id: kind, shard, unique part. It survives every new dispatch at the provider.")
        .pattern(Some(DISPATCH_ID))
        .examples(["dsp_15_01a1fd860d1e7230996d8c6a011145cb"])
);

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

fn whole(description: &str, max: u32) -> ObjectBuilder {
    let whole = ObjectBuilder::new().schema_type(Type::Integer).description(Some(description));
    whole.minimum(Some(1)).maximum(Some(max)).examples([300])
}

fn name(pattern: &str, example: &str, description: &str) -> ObjectBuilder {
    text(description).min_length(Some(1)).max_length(Some(NAME_CHARS_MAX)).pattern(Some(pattern)).examples([example])
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// Fails where reading a field and its schema are of two minds.
    fn agree<T: DeserializeOwned + PartialSchema>(values: impl IntoIterator<Item = Value>) {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        for value in values {
            let read = serde_json::from_value::<T>(value.clone()).is_ok();
            assert_eq!(schema.is_valid(&value), read, "{value}: read: {read}");
        }
    }

    #[test]
    fn the_document_takes_the_fields_that_reading_takes() {
        let characters = || (0..=0xFFFF).chain(0x1_F900..=0x1_F9FF).filter_map(char::from_u32).map(|c| json!(c));
        let lengths = || [0, 1, 127, 128, 129].into_iter().flat_map(|n| [json!("a".repeat(n)), json!("é".repeat(n))]);
        let others = || [json!(null), json!(1), json!([]), json!({}), json!("a\n"), json!("two words")];
        agree::<RoomName>(characters().chain(lengths()).chain(others()));
        agree::<PersonName>(lengths().chain(others()));
        let long = [191, 194, 195, 400].map(|n| json!("a".repeat(n)));
        agree::<PageRoomName>(lengths().chain(others()).chain(long));
        agree::<TenantName>([1, 64, 65].map(|n| json!("a".repeat(n))).into_iter().chain(others()));
        agree::<KeyName>(lengths().chain(others()));
        agree::<ScopeName>(Scope::ALL.map(|scope| json!(scope.as_str())).into_iter().chain(others()));
        agree::<KeyLifeSeconds>([0, 1, 315_360_000, 315_360_001, -1].map(|n| json!(n)).into_iter().chain(others()));
        agree::<RateLimitPerSecond>([0, 1, 1_000_000, 1_000_001, -1].map(|n| json!(n)).into_iter().chain(others()));
        agree::<LockName>(lengths().chain(others()));
        agree::<LockOwner>(lengths().chain(others()));
        agree::<LeaseSeconds>([0, 1, 3_600, 3_601, -1].map(|n| json!(n)).into_iter().chain(others()));
        let halves = [0.0, -1.0, 30.0, 30.5].map(|n| json!(n));
        agree::<WaitSeconds>([0, 1, 30, 31, -1].map(|n| json!(n)).into_iter().chain(halves).chain(others()));
        let tokens = [0, 1, TOKEN_MAX, TOKEN_MAX + 1, u64::MAX].map(|n| json!(n));
        agree::<FencingToken>(tokens.into_iter().chain(others()));
        agree::<AgentName>(characters().chain(lengths()).chain(others()));
        let ascii = [METADATA_BYTES_MAX, METADATA_BYTES_MAX + 1].map(|n| json!("x".repeat(n)));
        agree::<Metadata>(ascii.into_iter().chain(others()));
        let floats = [60.0, 60.5, 0.5, 1e9, -1.0].map(|n| json!(n));
        agree::<TtlSeconds>([0, 1, 86_400, 86_401, -1].map(|n| json!(n)).into_iter().chain(floats).chain(others()));
        agree::<Label>(characters().chain(lengths()).chain(others()));
        let categories = Category::ALL.iter().map(|category| json!(category.as_str()));
        agree::<CategoryName>(categories.chain(others()).chain([json!("Network")]));
        let severities = Severity::ALL.iter().map(|severity| json!(severity.as_str()));
        agree::<SeverityName>(severities.chain(others()));
        agree::<ErrorText>([0, 1, 4096, 4097].map(|n| json!("x".repeat(n))).into_iter().chain(others()));
        agree::<StackText>([0, 32_768, 32_769].map(|n| json!("x".repeat(n))).into_iter().chain(others()));
        let many = |n: usize| json!((0..n).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>());
        agree::<ErrorContext>([many(0), many(16), many(17), json!({"a": 1})].into_iter().chain(others()));
        agree::<HttpStatus>([0, 1, 999, 1000, -1].map(|n| json!(n)).into_iter().chain(others()));
        agree::<SnoozeSeconds>([0, 1, 86_400, 86_401].map(|n| json!(n)).into_iter().chain(others()));
        let states = State::ALL.map(|state| json!(state.as_str()));
        agree::<StateName>(states.into_iter().chain(others()).chain([json!("Active")]));
        let days = Day::ALL.map(|day| json!(day.as_str()));
        agree::<DayName>(days.into_iter().chain([json!("Mon"), json!("monday")]).chain(others()));
        let times = ["00:00", "08:45", "23:59", "24:00", "24:01", "8:45", "08:60"].map(|time| json!(time));
        agree::<ClockTime>(times.into_iter().chain(others()));
        agree::<BreakerName>(lengths().chain(others()));
        agree::<PermitId>(lengths().chain(others()));
        agree::<Note>(lengths().chain(others()));
        agree::<CallOutcome>(["success", "failure", "ok"].map(|word| json!(word)).into_iter().chain(others()));
        let forced = ["open", "closed", "disabled", "auto", "half_open"].map(|word| json!(word));
        agree::<ForceTo>(forced.into_iter().chain(others()));
        agree::<ForceSeconds>([0, 1, 2_592_000, 2_592_001, -1].map(|n| json!(n)).into_iter().chain(others()));
        agree::<Session>(["open", "busy", "closed", "dead"].map(|word| json!(word)).into_iter().chain(others()));
    }

    #[test]
    fn the_document_takes_the_ids_that_there_are() {
        let schema = serde_json::to_value(DispatchId::schema()).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        for shard in [0, 7, 17, u16::MAX] {
            let id = DispatchId::new(shard).to_string();
            assert!(schema.is_valid(&json!(id)), "{id}");
            for other in [id.to_uppercase(), id.replace("dsp_", "dsp_0"), format!("{id}0"), format!("{id}\n")] {
                assert!(!schema.is_valid(&json!(other)) && other.parse::<DispatchId>().is_err(), "{other}");
            }
        }
    }
}

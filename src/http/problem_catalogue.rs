//! The catalogue of problems: what each code means, and what its reader can do.

use axum::http::StatusCode;

/// What the catalogue says of a code.
#[derive(Debug)]
pub(in crate::http) struct Entry {
    /// The name on the wire.
    pub(in crate::http) code: &'static str,
    pub(in crate::http) status: StatusCode,
    /// Whether the same request may succeed later.
    pub(in crate::http) retryable: bool,
    pub(in crate::http) title: &'static str,
    /// For an end user: says nothing of how the service is built.
    pub(in crate::http) user_message: &'static str,
    /// For a developer or an operator.
    pub(in crate::http) suggestions: &'static [&'static str],
}

const OUR_REQUEST: &str = "Something went wrong. Please reload the page.";
const BUSY: &str = "The assistant is not available right now. Please try again in a moment.";
const GONE: &str = "This session has ended. Please reload the page.";
const NO_ACCESS: &str = "You do not have access to this session.";

/// Makes the codes and their entries of one table, so that neither is without the other.
macro_rules! catalogue {
    ($($name:ident: $code:literal, $status:ident, $retry:ident, $title:literal, $user:ident, [$($suggestion:literal),+];)+) => {
        /// Every failure that a caller can see. The names on the wire are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(in crate::http) enum Code {
            $($name,)+
        }

        impl Code {
            /// All of them, in their order.
            pub(in crate::http) const ALL: &'static [Self] = &[$(Self::$name),+];
        }

        /// In the order of the codes.
        static ENTRIES: &[Entry] = &[$(Entry {
            code: $code,
            status: StatusCode::$status,
            retryable: $retry,
            title: $title,
            user_message: $user,
            suggestions: &[$($suggestion),+],
        },)+];
    };
}

// Whether it is retryable says `AGAIN` or `NEVER`.
const AGAIN: bool = true;
const NEVER: bool = false;

#[rustfmt::skip]
catalogue! {
    MalformedJson: "malformed_json", BAD_REQUEST, NEVER, "The body is not JSON", OUR_REQUEST,
    ["Send one JSON object in UTF-8, nested at most 128 deep."];

    MalformedRequest: "malformed_request", BAD_REQUEST, NEVER, "The request cannot be read", OUR_REQUEST,
    ["Percent-encode path and query as UTF-8.",
     "Send the whole body that the headers announce."];

    BadCursor: "bad_cursor", BAD_REQUEST, NEVER, "Not a cursor of this list", OUR_REQUEST,
    ["Pass `next_cursor` of the page before unchanged, with the same filters, or start without a cursor."];

    Unauthorized: "unauthorized", UNAUTHORIZED, NEVER, "A key is needed", NO_ACCESS,
    ["Send `Authorization: Bearer <key>` with the API key of this service."];

    Forbidden: "forbidden", FORBIDDEN, NEVER, "Not allowed to this caller", NO_ACCESS,
    ["Use a key with the scope that the route needs: the API reference lists it.",
     "A page's token is good for its own room, and for the agents that pages may ask for."];

    BadToken: "bad_token", UNAUTHORIZED, NEVER, "The token is not valid for this dispatch", NO_ACCESS,
    ["Report with the id and the token from the attributes of the agent's own job."];

    BadSignature: "bad_signature", UNAUTHORIZED, NEVER, "The webhook's signature is not valid", NO_ACCESS,
    ["Let LiveKit sign its webhooks with the API key that this service is configured with."];

    RouteNotFound: "route_not_found", NOT_FOUND, NEVER, "No such route", OUR_REQUEST,
    ["Check the path against the API reference."];

    DispatchNotFound: "dispatch_not_found", NOT_FOUND, NEVER, "No such dispatch", GONE,
    ["It may have ended: `GET /v1/rooms/{room}/explain` says what happened in its room."];

    KeyNotFound: "key_not_found", NOT_FOUND, NEVER, "No such API key", OUR_REQUEST,
    ["`GET /v1/keys` lists those that there are."];

    LockNotHeld: "lock_not_held", NOT_FOUND, NEVER, "Nobody holds the lock", OUR_REQUEST,
    ["Nobody took it, it was given back, or its lease ended: take it with `POST /v1/locks/{name}/acquire`."];

    ErrorNotFound: "error_not_found", NOT_FOUND, NEVER, "No such group of failures", OUR_REQUEST,
    ["`GET /v1/errors` lists those that there are. One that was not seen for a while, or was resolved, is forgotten."];

    AlertNotFound: "alert_not_found", NOT_FOUND, NEVER, "No such rule", OUR_REQUEST,
    ["`GET /v1/alerts` lists the rules."];

    BreakerNotFound: "breaker_not_found", NOT_FOUND, NEVER, "No such breaker", OUR_REQUEST,
    ["`GET /v1/breakers` lists those that there are: one is made when a call is first asked for, and forgotten when it was not used for 30 days."];

    RoomNotFound: "room_not_found", NOT_FOUND, NEVER, "Nothing is known of this room", GONE,
    ["No agent was asked for in this room lately: check its name, which is case-sensitive."];

    MethodNotAllowed: "method_not_allowed", METHOD_NOT_ALLOWED, NEVER, "The route does not take this method", OUR_REQUEST,
    ["The `Allow` header lists the methods that it takes."];

    StaleToken: "stale_token", CONFLICT, NEVER, "The agent was replaced", GONE,
    ["Another agent serves this dispatch now: leave the room and stop reporting."];

    DispatchEnding: "dispatch_ending", CONFLICT, AGAIN, "The dispatch is ending", GONE,
    ["Ask for an agent again: the next one is made once this one is gone."];

    DispatchEnded: "dispatch_ended", GONE, NEVER, "The dispatch is over", GONE,
    ["Leave the room and stop reporting: the dispatch was ended, or replaced by a new one."];

    LockHeld: "lock_held", CONFLICT, AGAIN, "Somebody else holds the lock", BUSY,
    ["Try again after `retry_after_seconds`, when its lease ends unless it is renewed, or wait for it with `wait_seconds`.",
     "`detail` says who holds it."];

    LeaseLost: "lease_lost", CONFLICT, NEVER, "The lease is over", BUSY,
    ["Stop what the lock protects: somebody else may hold it. Then take it anew.",
     "Renew in time, at a third of `ttl_seconds` or so; and let what you write to refuse tokens below the highest it saw."];

    RequestUnderWay: "request_under_way", CONFLICT, AGAIN, "The same request is under way", BUSY,
    ["Repeat it with the same `Idempotency-Key` after `retry_after_seconds`: it then gets the first one's answer."];

    AgentDraining: "agent_draining", CONFLICT, NEVER, "The agent is being drained", BUSY,
    ["Ask for the agent that takes its place.",
     "`POST /v1/agents/{agent}/undrain` takes it back."];

    BreakerOwned: "breaker_owned", CONFLICT, NEVER, "The breaker is greenroom's own", OUR_REQUEST,
    ["Use another name: through this breaker only calls of this service itself go."];

    ObserveOnly: "observe_only", CONFLICT, NEVER, "Only observing", BUSY,
    ["No agent is in the room, and this service may make none: unset `dispatch.observe_only` to let it."];

    LivekitNotConfigured: "livekit_not_configured", CONFLICT, NEVER, "LiveKit is not configured", BUSY,
    ["Give the service the address, key and secret of a LiveKit server: the simulated provider has no rooms to join."];

    BodyTooLarge: "body_too_large", PAYLOAD_TOO_LARGE, NEVER, "The body is too large", OUR_REQUEST,
    ["Pass large things by reference, such as a link in the metadata."];

    UnsupportedMediaType: "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, NEVER, "The body must be plain JSON", OUR_REQUEST,
    ["Send `Content-Type: application/json`.",
     "Send the body as it is: compressed ones are not taken."];

    InvalidRequest: "invalid_request", UNPROCESSABLE_ENTITY, NEVER, "The request makes no sense", OUR_REQUEST,
    ["See `detail` for the field and what it takes. Unknown fields are refused."];

    IdempotencyKeyReused: "idempotency_key_reused", UNPROCESSABLE_ENTITY, NEVER, "The key was used for another request", OUR_REQUEST,
    ["Use a new `Idempotency-Key` for each request, and the same one only to repeat it unchanged."];

    RateLimited: "rate_limited", TOO_MANY_REQUESTS, AGAIN, "Too many calls", BUSY,
    ["Try again after `retry_after_seconds`, and spread the calls: `RateLimit` tells how many are left in this second.",
     "Give the key a limit of its own (`rate_limit_per_second`), or raise `server.rate_limit_per_second`.",
     "From an address that showed many wrong keys: show a good one."];

    TooManyDispatches: "too_many_dispatches", TOO_MANY_REQUESTS, AGAIN, "As many dispatches live as may", BUSY,
    ["Try again after `retry_after_seconds`: some may have ended.",
     "End those that are not needed, or raise `dispatch.live_per_tenant_max` or `dispatch.live_per_agent_max`."];

    TooManyBreakers: "too_many_breakers", TOO_MANY_REQUESTS, AGAIN, "As many breakers as there may be", BUSY,
    ["Use one breaker for each thing that is called, not one for each call or session.",
     "Those that were not used for 30 days make room."];

    PoolNotFound: "pool_not_found", NOT_FOUND, NEVER, "There is no such pool", OUR_REQUEST,
    ["Define it with `PUT /v1/pools/{pool}`, or start a runner for it: that makes it, too."];

    WorkerNotFound: "worker_not_found", NOT_FOUND, NEVER, "There is no such worker", GONE,
    ["List the workers of the pool: this one is gone for longer than an hour, or never was."];

    LeaseNotFound: "lease_not_found", NOT_FOUND, NEVER, "There is no such lease", GONE,
    ["Ask for a worker again: a lease ends when it is released or not renewed in time."];

    SessionNotFound: "session_not_found", NOT_FOUND, NEVER, "There is no such session", GONE,
    ["Ask with `kind=key` for the session of a key, without for one by its name; a session that is over is not remembered."];

    WorkerBusy: "worker_busy", CONFLICT, AGAIN, "The session's own worker is busy", BUSY,
    ["Try again after `retry_after_seconds`, or ask with `affinity` `queue` or `hint`."];

    PoolDraining: "pool_draining", CONFLICT, NEVER, "The pool gives no more leases", BUSY,
    ["Use another pool, or set `draining` to false."];

    StaleReport: "stale_report", CONFLICT, AGAIN, "A newer report of this runner was heard", BUSY,
    ["Nothing was changed. Tell at once what there is now, under a higher number.",
     "Where that is refused as well, another runner of this name has begun since: give each its own name."];

    IncompleteReport: "incomplete_report", CONFLICT, AGAIN, "The report adds to one that is not known", BUSY,
    ["Nothing was changed. Tell at once everything that there is, without `since`."];

    PoolInUse: "pool_in_use", CONFLICT, NEVER, "The pool is in use", BUSY,
    ["Set `draining` to true, end its sessions, and delete it once it has no workers any more."];

    NoReadyWorker: "no_ready_worker", TOO_MANY_REQUESTS, AGAIN, "No worker was ready in time", BUSY,
    ["Try again after `retry_after_seconds`, or wait for longer (`wait_seconds`).",
     "Raise `max` or `spare` of the pool, or the `capacity` of its runners; `GET /v1/pools/{pool}` says what it does and why."];

    LineFull: "line_full", TOO_MANY_REQUESTS, AGAIN, "As many sessions wait as may", BUSY,
    ["Try again after `retry_after_seconds`, or raise `queue_max` of the pool."];

    KeysInUse: "keys_in_use", TOO_MANY_REQUESTS, AGAIN, "As many keyed sessions are in use as may", BUSY,
    ["Try again after `retry_after_seconds`, or wait for longer (`wait_seconds`): one that is released makes room.",
     "Raise `keyed_max` of the pool, and `max` with it."];

    TooManyPools: "too_many_pools", TOO_MANY_REQUESTS, AGAIN, "As many pools as there may be", BUSY,
    ["Use one pool for each kind of worker, not one for each session."];

    ProviderRejected: "provider_rejected", BAD_GATEWAY, NEVER, "The provider refused", BUSY,
    ["Check the credentials of the provider and the names of room and agent."];

    ProviderUnavailable: "provider_unavailable", SERVICE_UNAVAILABLE, AGAIN, "The provider does not serve now", BUSY,
    ["Try again after `retry_after_seconds`.",
     "Check that the provider is reachable from this service."];

    StoreUnavailable: "store_unavailable", SERVICE_UNAVAILABLE, AGAIN, "The store does not serve now", BUSY,
    ["Try again after `retry_after_seconds`.",
     "Check that Redis is reachable and takes writes."];

    Timeout: "timeout", SERVICE_UNAVAILABLE, AGAIN, "No answer in time", BUSY,
    ["Try again after `retry_after_seconds`: what was begun may have been finished meanwhile, and is then found."];

    Internal: "internal", INTERNAL_SERVER_ERROR, NEVER, "An error of this service", BUSY,
    ["Report it with `request_id`: the log of the service has the cause under it."];
}

impl Code {
    /// The code's entry.
    pub(in crate::http) fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_words_for_its_readers() {
        let mut names: Vec<_> = ENTRIES.iter().map(|entry| entry.code).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENTRIES.len());
        for entry in ENTRIES {
            assert!(entry.status.is_client_error() || entry.status.is_server_error(), "{}", entry.code);
            assert!(!entry.title.is_empty() && !entry.user_message.is_empty() && !entry.suggestions.is_empty());
            assert!(!entry.retryable || [409, 429, 503].contains(&entry.status.as_u16()), "{}", entry.code);
        }
    }

    #[test]
    fn a_code_finds_its_own_entry() {
        assert_eq!(Code::MalformedJson.entry().code, "malformed_json");
        assert_eq!(Code::Internal.entry().code, "internal");
    }
}

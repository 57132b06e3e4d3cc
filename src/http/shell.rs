//! What surrounds every handler: the request's id, the caller, the deadline, metrics, the access
//! log, and the last word on every failure. One function instead of a stack of layers, for the
//! order matters and the reuse path has to be cheap.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, HOST, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;
use tracing::field::Empty;

use super::auth::{Access, admit};
use super::fields::WAIT_SECONDS_MAX;
use super::problem::{Code, Form, Problem};
use super::request_id::{RequestId, X_REQUEST_ID};
use super::state::App;
use super::texts::Language;
use super::{budget, rate_limit};
use crate::access::Quota;
use crate::policy::Deadline;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::HttpLabels;

/// How long a route may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// One call of the store or so.
    Prompt,
    /// It may wait for the provider; the deadline lies above the wait.
    Waits,
    /// It may wait for as long as the caller asks to; the deadline lies above the longest such wait.
    LongPoll,
}

/// What the table of routes says of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    pub(super) template: &'static str,
    pub(super) access: Access,
    pub(super) patience: Patience,
    pub(super) form: Form,
}

/// A route and what its handlers share.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) app: App,
    pub(super) spec: Spec,
}

/// Marks an answer to a change: worth a line in the log. A mere reuse or look is not.
#[derive(Debug, Clone, Copy)]
struct Noted;

/// Has this answer logged at `info`.
pub(super) fn noted(mut response: Response) -> Response {
    response.extensions_mut().insert(Noted);
    response
}

pub(super) async fn shell(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let Endpoint { app, spec } = endpoint;
    let _in_flight = app.metrics.http_started();
    let id = RequestId::of(request.headers());
    let method = method_label(request.method());
    let one_host = has_one_host(&request);
    // Two hosts, and a body whose end is told in pieces, is where smuggling begins: nothing follows it.
    let last = !one_host || request.headers().contains_key(TRANSFER_ENCODING);

    let budget = match spec.patience {
        Patience::Prompt => app.settings.request_timeout,
        Patience::Waits => app.settings.patient_timeout(),
        Patience::LongPoll => Duration::from_secs(WAIT_SECONDS_MAX.into()) + app.settings.request_timeout,
    };
    let language = app.texts.language(request.headers());
    let span = tracing::info_span!("request", request_id = id.as_str());
    let mut quota = None;
    let response = match (one_host, budget::asked(request.headers())) {
        (false, _) => Problem::new(Code::MalformedRequest, "a request has one Host header").into_response(),
        (_, Err(problem)) => problem.into_response(),
        (true, Ok(asked)) => {
            let deadline = Deadline::after(asked.map_or(budget, |asked| asked.min(budget)));
            let handler = admitted(&app, spec.access, deadline, request, next, &mut quota);
            in_time(deadline, &app.metrics, handler).instrument(span).await
        }
    };

    let exchange = Exchange { app: &app, id: &id, spec: &spec, method, language, took: started.elapsed() };
    let mut response = exchange.concluded(response);
    let labels = HttpLabels { route: spec.template, method, status: class(response.status()) };
    app.metrics.http_answered(labels, exchange.took);
    if last || app.shutdown.is_draining() {
        // Callers that keep a connection open go elsewhere with their next request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let headers = response.headers_mut();
    if let Some(quota) = quota {
        rate_limit::tell(headers, quota);
    }
    headers.insert(X_REQUEST_ID, id.into_header());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Two of them are two opinions on whom the request is for, and HTTP/1.1 demands one.
fn has_one_host(request: &Request) -> bool {
    match request.headers().get_all(HOST).iter().count() {
        0 => request.version() < Version::HTTP_11,
        hosts => hosts == 1,
    }
}

/// The handler's answer to a caller to whom the route is open.
async fn admitted(
    app: &App,
    access: Access,
    deadline: Deadline,
    request: Request,
    next: Next,
    quota: &mut Option<Quota>,
) -> Response {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(deadline);
    match admit(app, access, &parts, quota).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// The handler's answer, unless it panics or takes too long. What it has begun at the
/// provider goes on by itself.
async fn in_time(deadline: Deadline, metrics: &Metrics, handler: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout_at(deadline.at(), AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Problem::internal(panic_message(panic.as_ref())).into_response(),
        Err(_) => {
            metrics.timed_out("request");
            Problem::new(Code::Timeout, "the request took too long").into_response()
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("of an unknown kind"))
}

/// A request with its answer, for the log.
struct Exchange<'a> {
    app: &'a App,
    id: &'a RequestId,
    spec: &'a Spec,
    method: &'static str,
    language: Language<'a>,
    took: Duration,
}

impl Exchange<'_> {
    /// Renders a problem, and writes the line of the access log.
    fn concluded(&self, mut response: Response) -> Response {
        // Most answers carry nothing extra, and pay nothing for this.
        if response.extensions().is_empty() {
            self.log_quietly(response.status());
            return response;
        }
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            self.log_problem(&problem);
            self.app.metrics.http_problem(problem.code.entry().code);
            self.report(&problem);
            let wording = self.app.texts.of_code(problem.code, self.language);
            return problem.render(self.id.as_str(), self.spec.form, &wording);
        }
        if response.extensions_mut().remove::<Noted>().is_some() {
            self.log(response.status());
        } else {
            self.log_quietly(response.status());
        }
        response
    }

    fn log(&self, status: StatusCode) {
        let (status, request_id) = (status.as_u16(), self.id.as_str());
        tracing::info!(
            line.sampled = Empty,
            request_id,
            method = self.method,
            route = self.spec.template,
            status,
            took_us = self.took_us(),
            "answered"
        );
    }

    fn log_quietly(&self, status: StatusCode) {
        let (status, request_id) = (status.as_u16(), self.id.as_str());
        tracing::debug!(
            line.sampled = Empty,
            request_id,
            method = self.method,
            route = self.spec.template,
            status,
            took_us = self.took_us(),
            "answered"
        );
    }

    /// Tells of what failed here; what a caller did wrong is its own business.
    fn report(&self, problem: &Problem) {
        let entry = problem.code.entry();
        if entry.status.is_server_error() {
            let operation = format!("{} {}", self.method, self.spec.template);
            let message = problem.cause.as_deref().unwrap_or(&problem.detail);
            self.app.reporter.report(operation, problem.code.class(), Some(entry.code), message);
        }
    }

    /// The detail is left out: it may repeat what the caller sent, which is not ours to keep.
    fn log_problem(&self, problem: &Problem) {
        let entry = problem.code.entry();
        let (method, route, status, code) = (self.method, self.spec.template, entry.status.as_u16(), entry.code);
        let (request_id, took_us, cause) = (self.id.as_str(), self.took_us(), problem.cause.as_deref());
        match problem.code {
            Code::Internal => {
                tracing::error!(
                    line.sampled = Empty,
                    request_id,
                    method,
                    route,
                    status,
                    code,
                    cause,
                    took_us,
                    "failed"
                );
            }
            // A line for each would make whoever calls too often fill the log as well.
            Code::RateLimited => tracing::debug!(
                line.sampled = Empty,
                request_id,
                method,
                route,
                status,
                code,
                cause,
                took_us,
                "refused"
            ),
            _ if entry.status.is_server_error() => {
                tracing::warn!(line.sampled = Empty, request_id, method, route, status, code, cause, took_us, "failed");
            }
            _ => {
                tracing::info!(
                    line.sampled = Empty,
                    request_id,
                    method,
                    route,
                    status,
                    code,
                    cause,
                    took_us,
                    "refused"
                );
            }
        }
    }

    fn took_us(&self) -> u64 {
        u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The answer where a route exists for other methods; axum adds `Allow`.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "the route exists, but not for this method")
}

/// The answer where no route matches.
pub(super) async fn route_not_found() -> Problem {
    Problem::new(Code::RouteNotFound, "there is no such route")
}

/// The method, of a bounded number of them.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_panics_or_hangs_is_answered_for() {
        let code = |response: &Response| response.extensions().get::<Problem>().map(|problem| problem.code);
        let (second, metrics) = (Deadline::after(Duration::from_secs(1)), Metrics::new());
        let fine = in_time(second, &metrics, async { StatusCode::OK.into_response() }).await;
        assert_eq!((fine.status(), code(&fine)), (StatusCode::OK, None));
        let panicked = in_time(second, &metrics, async { panic!("a defect") }).await;
        assert_eq!(code(&panicked), Some(Code::Internal));
        assert_eq!(panicked.extensions().get::<Problem>().unwrap().cause.as_deref(), Some("panic: a defect"));
        let hung = in_time(second, &metrics, std::future::pending()).await;
        assert_eq!(code(&hung), Some(Code::Timeout));
        assert!(metrics.encode().unwrap().contains("greenroom_timeouts_total{operation=\"request\"} 1"));
    }

    #[test]
    fn labels_are_bounded() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "other");
        assert_eq!(class(StatusCode::IM_A_TEAPOT), "4xx");
        assert_eq!(class(StatusCode::from_u16(999).unwrap()), "5xx");
    }
}

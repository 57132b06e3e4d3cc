//! The HTTP side: connections, the order of checks as at the real server, and the faults ordered.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::Shared;
use super::auth::{self, Grants};
use super::calls::{self, Refusal};
use super::faults::Trouble;
use super::method::Method;
use super::wire::Format;

/// Longer bodies are not read; the real server takes 11 MB at least.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Stands for a connection that is dropped instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was to be dropped")]
struct Dropped;

type Answer = Result<Response<Body>, Dropped>;

/// Serves until the stand-in is dropped.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            tokio::spawn(serve_connection(shared.clone(), stream));
        }
    }
}

async fn serve_connection(shared: Arc<Shared>, stream: TcpStream) {
    // Best effort: without it answers are merely later.
    let _ = stream.set_nodelay(true);
    let stop = shared.stop.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        // In a task of its own: the server goes on when the caller gives up.
        async move { tokio::spawn(answer(shared, request)).await.unwrap_or(Err(Dropped)) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stop.cancelled() => {}
        // An error here is a caller who went away, or a connection dropped on purpose.
        _ = connection => {}
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let grants = match token_of(&parts.headers, parts.uri.query()) {
        Ok(None) => Grants::default(),
        Ok(Some(token)) => match auth::check(&token, &shared.key, &shared.secret) {
            Ok(grants) => grants,
            Err(text) => return Ok(plain(StatusCode::UNAUTHORIZED, text)),
        },
        Err(text) => return Ok(plain(StatusCode::UNAUTHORIZED, text)),
    };
    let path = parts.uri.path();
    let known = ["/twirp/livekit.RoomService/", "/twirp/livekit.AgentDispatchService/"];
    if !known.iter().any(|prefix| path.starts_with(prefix)) {
        return Ok(plain(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()));
    }
    let bad_route = |text: String| {
        let route = format!("{} {path}", parts.method);
        let body = json!({"code": "bad_route", "msg": text, "meta": {"twirp_invalid_route": route}});
        Ok(respond(StatusCode::NOT_FOUND, "application/json", body.to_string().into_bytes()))
    };
    if parts.method != axum::http::Method::POST {
        return bad_route(format!("unsupported method \"{}\" (only POST is allowed)", parts.method));
    }
    let Some(method) = path.strip_prefix("/twirp/livekit.").and_then(Method::of_path) else {
        return bad_route(format!("no handler for path \"{path}\""));
    };
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = match content_type.and_then(|value| value.split(';').next()).map(str::trim) {
        Some("application/json") => Format::Json,
        Some("application/protobuf") => Format::Protobuf,
        _ => {
            let found = content_type.unwrap_or("application/octet-stream");
            return bad_route(format!("unexpected Content-Type: \"{found}\""));
        }
    };
    let Ok(body) = to_bytes(Body::new(body), BODY_BYTES_MAX).await else { return Err(Dropped) };
    let token = token_of(&parts.headers, parts.uri.query()).ok().flatten().unwrap_or_default();
    act(&shared, method, format, &grants, (&token, &body)).await
}

/// Meets the ordered fault, if there is one, around what the method does.
async fn act(
    shared: &Arc<Shared>,
    method: Method,
    format: Format,
    grants: &Grants,
    (token, body): (&str, &[u8]),
) -> Answer {
    let room = calls::room_of(method, format, body);
    shared.with(|world, now| world.note_call(now, method, &room));
    let trouble = shared.faults.take(method, &room);
    match &trouble {
        Some(Trouble::Status(status, retry_after)) => return Ok(refuse_with(*status, *retry_after)),
        Some(Trouble::Echo(status)) => return Ok(echo(*status, token, body)),
        Some(Trouble::HtmlPage) => {
            let page = b"<html><head><title>502 Bad Gateway</title></head></html>\r\n".to_vec();
            return Ok(respond(StatusCode::BAD_GATEWAY, "text/html", page));
        }
        Some(Trouble::EmptyBody) => return Ok(respond(StatusCode::OK, format.content_type(), Vec::new())),
        Some(Trouble::Unreachable) => return Err(Dropped),
        Some(Trouble::Slow(delay)) => tokio::time::sleep(*delay).await,
        Some(Trouble::SlowReply(_) | Trouble::DoneButReplyLost | Trouble::LostDispatch) | None => {}
    }
    let lost = trouble == Some(Trouble::LostDispatch);
    let outcome = calls::perform(shared, method, format, grants, body, lost);
    let response = match outcome {
        Ok(bytes) => respond(StatusCode::OK, format.content_type(), bytes),
        Err(refusal) => {
            if refusal.is_no_answer() {
                tokio::time::sleep(shared.missing_room).await;
            }
            refused(&refusal)
        }
    };
    match trouble {
        Some(Trouble::DoneButReplyLost) => Err(Dropped),
        Some(Trouble::SlowReply(delay)) => {
            tokio::time::sleep(delay).await;
            Ok(response)
        }
        _ => Ok(response),
    }
}

/// The token of a request; `Err` is the text of a 401.
fn token_of(headers: &HeaderMap, query: Option<&str>) -> Result<Option<String>, String> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().unwrap_or_default();
        return match value.strip_prefix("Bearer ") {
            Some(token) => Ok(Some(token.to_owned())),
            None => Err("invalid authorization header. Must start with Bearer ".to_owned()),
        };
    }
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    Ok(pairs.into_iter().find(|(name, _)| *name == "access_token").map(|(_, token)| token.to_owned()))
}

/// An error that quotes everything, as servers and what stands before them are wont to do.
fn echo(status: u16, token: &str, body: &[u8]) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // What is worth the most comes first: who reads this may keep the beginning only.
    let sent = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let (metadata, body) = (&sent["metadata"], String::from_utf8_lossy(body));
    plain(
        status,
        format!("{metadata} token: {token}, error: refused\r\nAuthorization: Bearer {token}\u{1b}[31m {body}"),
    )
}

fn refuse_with(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => "resource_exhausted",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "internal",
    };
    let body = json!({"code": code, "msg": "a fault that was ordered"}).to_string().into_bytes();
    let mut response = respond(status, "application/json", body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let mut body = json!({"code": refusal.code(), "msg": refusal.message()});
    if let Some(argument) = refusal.argument() {
        body["meta"] = json!({"argument": argument});
    }
    respond(refusal.status(), "application/json", body.to_string().into_bytes())
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text.into_bytes())
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

//! The failures of an operation in the document: by status, with the codes that each can have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{AllOf, Object, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, Ref, RefOr, Response, Schema};

use crate::http::auth::Access;
use crate::http::idempotency::IDEMPOTENCY_KEY;
use crate::http::problem::{Code, Form};

/// Lists the codes, in operations and in the answers of an endpoint.
const CODES: &str = "x-problem-codes";

/// Declares, for the document, what an endpoint refuses besides that which surrounds and reads every request.
macro_rules! refusals {
    ($($code:ident),+ $(,)?) => {
        enum Refusals {}

        impl utoipa::IntoResponses for Refusals {
            fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
                use $crate::http::problem::Code;
                $crate::http::openapi::refusals::listed(&[$(Code::$code),+])
            }
        }
    };
}
pub(in crate::http) use refusals;

/// Bare answers that list the codes; [`describe`] makes whole ones of them.
pub(in crate::http) fn listed(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let by_status = by_status(codes);
    by_status.into_iter().map(|(status, codes)| (status, RefOr::T(bare(&codes)))).collect()
}

/// Describes every failure that the operation can have.
pub(super) fn describe(operation: &mut Operation, access: Access, form: Form) {
    let mut codes = surrounding(operation, access);
    for answer in operation.responses.responses.values_mut() {
        codes.extend(take_codes(answer));
    }
    operation.responses.responses.retain(|_, answer| !matches!(answer, RefOr::T(it) if it.description.is_empty()));
    let codes: Vec<_> = Code::ALL.iter().copied().filter(|code| codes.contains(code.entry().code)).collect();
    for (status, codes) in by_status(&codes) {
        let failure = failure(&codes, form);
        match operation.responses.responses.get_mut(&status) {
            Some(RefOr::T(answer)) => {
                answer.description = format!("{}\n\n{}", answer.description, failure.description);
                answer.content.extend(failure.content);
                answer.headers.extend(failure.headers);
            }
            _ => drop(operation.responses.responses.insert(status, RefOr::T(failure))),
        }
    }
    let names: Vec<_> = codes.iter().map(|code| code.entry().code).collect();
    operation.extensions.get_or_insert_default().extend([(CODES.to_owned(), json!(names))]);
}

/// What the shell and the extractors refuse.
fn surrounding(operation: &Operation, access: Access) -> BTreeSet<String> {
    // Not one Host header is a malformed request, whatever the route.
    let mut codes = vec![Code::Timeout, Code::Internal, Code::MalformedRequest];
    if access != Access::Open {
        codes.extend([Code::Unauthorized, Code::Forbidden, Code::RateLimited, Code::StoreUnavailable]);
    }
    if let Some(RefOr::T(body)) = &operation.request_body {
        codes.extend([Code::BodyTooLarge, Code::UnsupportedMediaType]);
        if body.content.contains_key("application/json") {
            codes.extend([Code::MalformedJson, Code::InvalidRequest]);
        }
    }
    for parameter in operation.parameters.iter().flatten() {
        match parameter {
            // What is no id names nothing: 404.
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path && parameter.name == "id" => {}
            RefOr::T(parameter) if parameter.parameter_in != ParameterIn::Header => codes.push(Code::InvalidRequest),
            RefOr::T(parameter) if parameter.name == IDEMPOTENCY_KEY => {
                codes.extend([Code::RequestUnderWay, Code::IdempotencyKeyReused]);
            }
            _ => {}
        }
    }
    codes.into_iter().map(|code| code.entry().code.to_owned()).collect()
}

fn by_status(codes: &[Code]) -> BTreeMap<String, Vec<Code>> {
    let mut by_status = BTreeMap::<_, Vec<_>>::new();
    for code in codes {
        by_status.entry(code.entry().status.as_u16().to_string()).or_default().push(*code);
    }
    by_status
}

fn bare(codes: &[Code]) -> Response {
    let names: Vec<_> = codes.iter().map(|code| code.entry().code).collect();
    let mut response = Response::default();
    response.extensions = Some(Extensions::builder().add(CODES, names).build());
    response
}

fn take_codes(answer: &mut RefOr<Response>) -> Vec<String> {
    let RefOr::T(answer) = answer else { return Vec::new() };
    let listed = answer.extensions.as_mut().and_then(|extensions| extensions.remove(CODES));
    let listed = listed.and_then(|codes| serde_json::from_value(codes).ok());
    listed.unwrap_or_default()
}

fn failure(codes: &[Code], form: Form) -> Response {
    let lines: Vec<_> =
        codes.iter().map(|code| format!("- `{}`: {}.", code.entry().code, code.entry().title)).collect();
    let (content_type, schema) = match form {
        Form::Problem => ("application/problem+json", problem_of(codes)),
        Form::Kept => ("application/json", Ref::from_schema_name("Failure").into()),
    };
    let mut response = Response::new(lines.join("\n"));
    response.content.insert(content_type.to_owned(), ContentBuilder::new().schema(Some(schema)).build().into());
    let mut header = |name: &str| {
        let reference = Ref::new(format!("#/components/headers/{name}"));
        response.headers.insert(name.to_owned(), RefOr::<Header>::Ref(reference));
    };
    if codes.iter().any(|code| code.entry().retryable) {
        header("Retry-After");
    }
    if codes.iter().any(|code| code.entry().status == 401) {
        header("WWW-Authenticate");
    }
    response
}

/// A problem document with one of these codes.
fn problem_of(codes: &[Code]) -> RefOr<Schema> {
    let code: Object = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes.iter().map(|code| code.entry().code)))
        .build();
    let mut schema = AllOf::new();
    schema.items = vec![
        Ref::from_schema_name("Problem").into(),
        Schema::Object(ObjectBuilder::new().property("code", code).build()).into(),
    ];
    Schema::AllOf(schema).into()
}

//! `GET /v1/breakers/{breaker}`: one breaker with all that is known of it.

use axum::Json;
use axum::extract::State;

use super::view::BreakerView;
use crate::http::auth::By;
use crate::http::extract::InPath;
use crate::http::fields::BreakerName;
use crate::http::openapi::refusals::refusals;
use crate::http::problem::Problem;
use crate::http::state::App;

refusals!(BreakerNotFound, StoreUnavailable);

/// One breaker
///
/// Its state, its rules, what was counted, and its last changes of state.
#[utoipa::path(get, path = "/v1/breakers/{breaker}", operation_id = "getBreaker", tag = "breakers",
    params(("breaker" = BreakerName, Path, description = "The breaker's name.")),
    responses((status = 200, description = "The breaker.", body = BreakerView), Refusals))]
pub(in crate::http) async fn get(
    State(app): State<App>,
    By(caller): By,
    InPath(BreakerName(name)): InPath<BreakerName>,
) -> Result<Json<BreakerView>, Problem> {
    Ok(Json(app.breakers.get(caller.tenant(), &name).await?.into()))
}

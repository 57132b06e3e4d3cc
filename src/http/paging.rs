//! Which page of a list is meant, where nothing else is asked of it.

use serde::Deserialize;
use utoipa::IntoParams;

use super::fields::PageLimit;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichPage {
    /// `next_cursor` of the page before, unchanged; without it the list begins.
    pub(super) cursor: Option<String>,
    /// The most things of a page.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1_000, default = 100, required = false)]
    pub(super) limit: PageLimit,
}

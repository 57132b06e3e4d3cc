//! Reports, groups, lists.

use std::time::Duration;

use uuid::Uuid;

use super::guess::guess;
use super::sample;
use super::template::template;
use super::{Class, Group, GroupFilter, GroupId, GroupPage, Occurrence, Report, ReportError, Reported};
use crate::cursor;
use crate::idempotency::Once;
use crate::name::Name;
use crate::store::keys::shard_of_tenant;
use crate::store::{Refusal, Store, StoreError};

/// The longest page: each group comes with its counts.
const LIMIT_MAX: u32 = 100;

/// How many groups there may be, and how long they are remembered.
#[derive(Debug, Clone, Copy)]
pub struct GroupBounds {
    /// The most groups of a tenant; the one that was not seen for longest goes first.
    pub groups_max: u32,
    /// How long a group is remembered after it was seen last.
    pub lifetime: Duration,
}

/// The error reports of all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ErrorReports {
    store: Store,
    bounds: GroupBounds,
}

impl ErrorReports {
    /// The reports of the store.
    pub fn new(store: Store, bounds: GroupBounds) -> Self {
        Self { store, bounds }
    }

    /// Takes in what somebody reports.
    pub async fn report(&self, tenant: &Name, report: &Report, once: Option<&Once>) -> Result<Reported, ReportError> {
        let code = report.code.as_ref().map(Name::as_str);
        let category = report.category.unwrap_or_else(|| guess(code, report.status, &report.message));
        let usual = category.class();
        let class = Class {
            category,
            severity: report.severity.unwrap_or(usual.severity),
            retryable: report.retryable.unwrap_or(usual.retryable),
        };
        let text = template(&report.message);
        let operation = sample::label(&report.operation);
        let mut occurrence = occurrence(tenant, &operation, class, text, sample::of_report(report));
        occurrence.code = report.code.as_ref().map(sample::label).unwrap_or_default();
        occurrence.service = report.service.as_ref().map(sample::label).unwrap_or_default();
        let call = Uuid::now_v7().simple().to_string();
        let (is_new, count) = self.store.report_error(tenant, &occurrence, 1, &call, self.bounds, once).await?;
        Ok(Reported { id: occurrence.id, class, is_new, count })
    }

    /// Counts failures of a group; the same call again changes nothing.
    pub(super) async fn count(
        &self,
        tenant: &Name,
        occurrence: &Occurrence,
        times: u64,
        call: &str,
    ) -> Result<u64, ReportError> {
        let (_, count) = self.store.report_error(tenant, occurrence, times, call, self.bounds, None).await?;
        Ok(count)
    }

    /// A page of the tenant's groups, the one seen last first. One that is seen again meanwhile moves to the front.
    pub async fn list(&self, tenant: &Name, filter: &GroupFilter) -> Result<GroupPage, ReportError> {
        let shard = shard_of_tenant(tenant, self.store.shards());
        let below = match &filter.cursor {
            None => None,
            Some(cursor) => {
                let (_, place) = cursor::decode(cursor).ok_or(ReportError::BadCursor)?;
                Some(place.parse().map_err(|_| ReportError::BadCursor)?)
            }
        };
        let limit = filter.limit.clamp(1, LIMIT_MAX);
        let found = self.store.page_of_errors(tenant, below, limit).await?;
        let is_full = u32::try_from(found.len()).is_ok_and(|found| found >= limit);
        let last = found.last().filter(|_| is_full).map(|(place, _)| cursor::encode(shard.0, &place.to_string()));
        let groups = found.into_iter().filter_map(|(_, group)| group).filter(|group| filter.takes(group)).collect();
        Ok(GroupPage { groups, next_cursor: last })
    }

    /// One group of the tenant.
    pub async fn get(&self, tenant: &Name, id: &GroupId) -> Result<Group, ReportError> {
        self.store.find_error(tenant, id).await?.ok_or(ReportError::NotFound)
    }

    /// Forgets a group: should it happen again, it counts from one.
    pub async fn resolve(&self, tenant: &Name, id: &GroupId) -> Result<(), ReportError> {
        self.get(tenant, id).await?;
        Ok(self.store.forget_error(tenant, id).await?)
    }
}

impl GroupFilter {
    fn takes(&self, group: &Group) -> bool {
        self.category.is_none_or(|category| category == group.class.category)
            && self.severity.is_none_or(|severity| severity == group.class.severity)
            && self.operation.as_ref().is_none_or(|operation| operation.as_str() == group.operation)
    }
}

/// A failure in its group.
pub(super) fn occurrence(tenant: &Name, operation: &str, class: Class, template: String, sample: String) -> Occurrence {
    let id = GroupId::of(tenant, operation, class.category, &template);
    let operation = operation.to_owned();
    Occurrence { id, operation, class, template, code: String::new(), service: String::new(), sample }
}

impl From<StoreError> for ReportError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { detail } => Self::StoreUnavailable { detail },
            StoreError::Refused(Refusal::KeyReused) => Self::KeyReused,
            StoreError::Refused(refusal) => Self::Internal { detail: refusal.to_string() },
            StoreError::Nonsense { detail } | StoreError::Schema { detail } => Self::Internal { detail },
        }
    }
}

//! How the rules stand, and snoozing one.

use std::time::Duration;

use super::{Alert, AlertError, AlertRules, Rule};
use crate::access::Caller;
use crate::idempotency::Once;
use crate::store::{Refusal, Store, StoreError};

/// The alerts of all replicas. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    store: Store,
    rules: AlertRules,
}

impl Alerts {
    /// The alerts of the store, by these rules.
    pub fn new(store: Store, rules: AlertRules) -> Self {
        Self { store, rules }
    }

    /// The rules.
    pub fn rules(&self) -> &AlertRules {
        &self.rules
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// How every rule stands.
    pub async fn list(&self) -> Result<Vec<Alert>, AlertError> {
        Ok(self.store.alerts(&Rule::ALL, &self.rules).await?)
    }

    /// How a rule stands.
    pub async fn get(&self, rule: Rule) -> Result<Alert, AlertError> {
        let found = self.store.alerts(&[rule], &self.rules).await?;
        found.into_iter().next().ok_or_else(|| AlertError::Internal { detail: "no rule was told".to_owned() })
    }

    /// Tells nobody that the rule is raised, for so long from now on; none wakes it.
    pub async fn snooze(
        &self,
        by: &Caller,
        rule: Rule,
        length: Option<Duration>,
        once: Option<&Once>,
    ) -> Result<Alert, AlertError> {
        if by.is_bound() {
            return Err(AlertError::Forbidden);
        }
        self.store.snooze_alert(rule, length, &by.id().to_string(), once).await?;
        self.get(rule).await
    }
}

impl From<StoreError> for AlertError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { detail } => Self::StoreUnavailable { detail },
            StoreError::Refused(Refusal::KeyReused) => Self::KeyReused,
            StoreError::Refused(refusal) => Self::Internal { detail: refusal.to_string() },
            StoreError::Nonsense { detail } | StoreError::Schema { detail } => Self::Internal { detail },
        }
    }
}

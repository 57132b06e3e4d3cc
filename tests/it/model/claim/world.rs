//! What there is: the store's entry of one place, the provider's dispatches, and where each replica stands.

use super::ids::Ids;

/// Everything, at one moment. One place is enough: places share nothing but the floor of the tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) entry: Option<Entry>,
    /// `token_floor` of the shard.
    pub(super) floor: u8,
    pub(super) tombstones: Ids,
    /// The dispatches that the provider has.
    pub(super) live: Ids,
    /// Creations that nobody waits for any more, and that will come to pass.
    pub(super) late_creates: u8,
    pub(super) late_deletes: Ids,
    pub(super) replicas: Vec<Replica>,
    pub(super) faults_left: u8,
    pub(super) deaths_left: u8,
    pub(super) ends_left: u8,
    highest_claim: u8,
    highest_commit: u8,
    pub(super) broken: Broken,
}

/// `gr:{shard}:dispatch:…`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) token: u8,
    pub(super) claim: Option<Claim>,
    pub(super) committed: Option<u8>,
    pub(super) phase: Phase,
    /// Its agent died, closed or fell silent.
    pub(super) unwell: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) kind: Kind,
    pub(super) lapsed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Create,
    Check,
    Redispatch,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Never committed.
    Making,
    /// Committed once.
    Serving,
    Failed,
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Replica {
    pub(super) step: Step,
    /// One of its callers has no answer yet.
    pub(super) owes: bool,
}

/// What a replica does next. The number is the token of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    Idle,
    Dead,
    Look(u8, Why),
    /// Adopts or removes those that it saw; makes one where it adopted none, unless it only finds again.
    Settle(u8, Ids, Why),
    Create(u8),
    /// To commit this id: made (`None`), or found among others.
    Commit(u8, u8, Option<(Ids, Why)>),
    /// The first of these gets its tombstone, and then goes.
    Remove {
        ids: Ids,
        marked: bool,
        then: Then,
    },
    Observe(u8, Ids),
    GiveUp(u8, Why),
    Ended(u8),
}

/// What for the replica looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Why {
    Make,
    Check,
    End,
    /// After its claim was lost.
    Undo,
    /// What is at the provider, and not in the store.
    FindAgain,
}

/// What follows a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Then {
    Idle,
    Settle(u8, Ids, Why),
    Again(u8),
    Ended(u8),
}

/// What must never be. Apart from the state, so that a property can name each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    pub(super) token_went_back: bool,
    pub(super) commit_went_back: bool,
    pub(super) answer_lied: bool,
}

impl Step {
    /// The token of the claim that it works under.
    pub(super) fn token(mut self) -> Option<u8> {
        let undoes = matches!(self, Self::Look(_, Why::Undo));
        self.token_mut().filter(|_| !undoes).copied()
    }

    fn token_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Look(token, _)
            | Self::Settle(token, ..)
            | Self::Create(token)
            | Self::Commit(token, ..)
            | Self::Observe(token, _)
            | Self::GiveUp(token, _)
            | Self::Ended(token)
            | Self::Remove { then: Then::Settle(token, ..) | Then::Again(token) | Then::Ended(token), .. } => {
                Some(token)
            }
            Self::Idle | Self::Dead | Self::Remove { then: Then::Idle, .. } => None,
        }
    }

    fn ids(self) -> Ids {
        match self {
            Self::Commit(_, id, rest) => rest.unwrap_or((Ids::default(), Why::Make)).0.with(id),
            Self::Remove { ids, then: Then::Settle(_, rest, _), .. } => ids.and(rest),
            Self::Settle(_, ids, _) | Self::Observe(_, ids) | Self::Remove { ids, .. } => ids,
            _ => Ids::default(),
        }
    }
}

impl World {
    pub(super) fn new(replicas: usize, faults: u8) -> Self {
        Self {
            entry: None,
            floor: 0,
            tombstones: Ids::default(),
            live: Ids::default(),
            late_creates: 0,
            late_deletes: Ids::default(),
            replicas: vec![Replica { step: Step::Idle, owes: true }; replicas],
            faults_left: faults,
            deaths_left: 1,
            ends_left: 1,
            highest_claim: 0,
            highest_commit: 0,
            broken: Broken::default(),
        }
    }

    pub(super) fn committed(&self) -> Option<u8> {
        self.entry.as_ref().and_then(|entry| entry.committed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ends_left == 0
    }

    /// All replicas crashed: the next one that starts would go on.
    pub(super) fn nobody_lives(&self) -> bool {
        self.replicas.iter().all(|replica| replica.step == Step::Dead)
    }

    /// Nobody waits, nothing is claimed, and the provider has what is committed and nothing else.
    pub(super) fn is_settled(&self) -> bool {
        let waits = |replica: &Replica| replica.owes && replica.step != Step::Dead;
        let committed = self.committed().map(Ids::of).unwrap_or_default();
        let claimed = self.entry.as_ref().is_some_and(|entry| entry.claim.is_some());
        !self.replicas.iter().any(waits) && !claimed && self.live == committed
    }

    /// Takes the claim: `claim` of `dispatch/shared.lua`.
    pub(super) fn claim(&mut self, kind: Kind) -> u8 {
        let floor = self.floor;
        let fresh = Entry { token: floor, claim: None, committed: None, phase: Phase::Making, unwell: false };
        let entry = self.entry.get_or_insert(fresh);
        entry.token += 1;
        entry.claim = Some(Claim { kind, lapsed: false });
        self.broken.token_went_back |= entry.token <= self.highest_claim;
        self.highest_claim = self.highest_claim.max(entry.token);
        entry.token
    }

    /// Takes the provider's dispatch away from the entry, and marks it dead.
    pub(super) fn bury(&mut self, tombstones: bool) {
        let Some(entry) = &mut self.entry else { return };
        if let Some(id) = entry.committed.take().filter(|_| tombstones) {
            self.tombstones = self.tombstones.with(id);
        }
        entry.unwell = false;
    }

    pub(super) fn note_commit(&mut self, token: u8) {
        self.broken.commit_went_back |= token < self.highest_commit;
        self.highest_commit = self.highest_commit.max(token);
    }

    /// A new dispatch at the provider.
    pub(super) fn make(&mut self) -> u8 {
        let id = self.referenced().and(self.tombstones).first_free();
        self.live = self.live.with(id);
        id
    }

    fn referenced(&self) -> Ids {
        let committed = self.committed().map(Ids::of).unwrap_or_default();
        let kept = self.live.and(self.late_deletes).and(committed);
        self.replicas.iter().fold(kept, |ids, replica| ids.and(replica.step.ids()))
    }

    /// States that differ in nothing that matters are one: who is which replica, and what has gone for good.
    pub(super) fn normalise(&mut self) {
        self.tombstones = self.tombstones.only(self.referenced());
        for replica in &mut self.replicas {
            replica.owes &= replica.step != Step::Dead;
        }
        self.rank_tokens();
        self.replicas.sort_unstable();
    }

    /// Tokens are only compared: their ranks will do.
    fn rank_tokens(&mut self) {
        let mut seen = [false; 256];
        self.each_token(&mut |token| seen[usize::from(*token)] = true);
        seen[0] = false;
        let mut rank = 0;
        let ranks = seen.map(|seen| {
            rank += u8::from(seen);
            rank
        });
        self.each_token(&mut |token| *token = ranks[usize::from(*token)]);
    }

    fn each_token(&mut self, visit: &mut impl FnMut(&mut u8)) {
        visit(&mut self.floor);
        visit(&mut self.highest_claim);
        visit(&mut self.highest_commit);
        if let Some(entry) = &mut self.entry {
            visit(&mut entry.token);
        }
        for replica in &mut self.replicas {
            if let Some(token) = replica.step.token_mut() {
                visit(token);
            }
        }
    }
}

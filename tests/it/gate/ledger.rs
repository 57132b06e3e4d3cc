//! What Redis answers about locks and breakers, command by command, held against what it answered before: also answers
//! that nobody heard.

use std::collections::{BTreeMap, HashMap};

use super::resp::{Redis, words_of};

/// All locks and breakers, as the answers have them.
#[derive(Default)]
pub(super) struct Ledger {
    locks: BTreeMap<String, Lock>,
    breakers: BTreeMap<String, Breaker>,
    pub(super) tally: Tally,
}

/// What came to pass, so that nobody takes silence for success.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) grants: u64,
    pub(super) openings: u64,
    pub(super) closings: u64,
    pub(super) lapsed: u64,
    /// Sessions that got a worker, and resets of workers that were proved.
    pub(super) leases: u64,
    pub(super) resets: u64,
    /// Leases that nobody renewed, and workers lost with their runners.
    pub(super) lapses: u64,
    pub(super) lost: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.grants += other.grants;
        self.openings += other.openings;
        self.closings += other.closings;
        self.lapsed += other.lapsed;
        self.leases += other.leases;
        self.resets += other.resets;
        self.lapses += other.lapses;
        self.lost += other.lost;
    }
}

#[derive(Default)]
struct Lock {
    /// Who has it, or had it last and did not give it back.
    holder: Option<Lease>,
    highest_token: u64,
    owners: HashMap<u64, String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Lease {
    owner: String,
    token: u64,
    until_ms: u64,
}

#[derive(Default)]
struct Breaker {
    rules: HashMap<String, u64>,
    generation: u64,
    highest_generation: u64,
    state: String,
    open_until_ms: u64,
    streak: u64,
    successes: u64,
    /// Permits of probes of this generation, with their deadlines.
    permits: BTreeMap<String, u64>,
}

/// A command that was carried out.
struct Said<'a> {
    args: Vec<&'a str>,
    /// None where it was refused.
    answer: Option<Vec<String>>,
    now_ms: u64,
}

impl Said<'_> {
    fn word(&self, at: usize) -> &str {
        self.answer.as_ref().and_then(|answer| answer.get(at)).map(String::as_str).unwrap_or_default()
    }

    fn number(&self, at: usize) -> u64 {
        self.word(at).parse().unwrap_or_default()
    }

    fn arg(&self, at: usize) -> u64 {
        self.args[at].parse().unwrap_or_default()
    }
}

impl Ledger {
    /// Takes in what a script of that name was told to do and answered.
    pub(super) fn hear(&mut self, script: &str, words: &[Vec<u8>], answer: &[u8], now_ms: u64) -> Result<(), String> {
        let Some((kind @ ("lock" | "breaker"), verb)) = script.split_once('/') else { return Ok(()) };
        let text: Vec<&str> = words.iter().map(|word| std::str::from_utf8(word).unwrap_or_default()).collect();
        let keys: usize = text[2].parse().expect("a number of keys");
        let (key, args) = (text[3].to_owned(), text[3 + keys..].to_vec());
        let said = Said { args, answer: words_of(answer), now_ms };
        let tally = &mut self.tally;
        let judged = match (kind, verb) {
            ("lock", "acquire") => self.locks.entry(key.clone()).or_default().acquired(&said, tally),
            ("lock", "renew") => self.locks.entry(key.clone()).or_default().renewed(&said),
            ("lock", "release") => self.locks.entry(key.clone()).or_default().released(&said),
            ("breaker", "permit") => self.breakers.entry(key.clone()).or_default().asked(&said, tally),
            ("breaker", "report") => self.breakers.entry(key.clone()).or_default().reported(&said, tally),
            _ => Ok(()),
        };
        judged.map_err(|breach| format!("{key}: {breach}: {verb} {:?} → {:?} at {now_ms}", said.args, said.answer))
    }

    /// Redis is an older copy of itself; nobody who lives has seen a token above the floor.
    pub(super) fn begin_anew(&mut self, redis: &mut Redis, floor: u64) {
        for (key, lock) in &mut self.locks {
            let fields = redis.hash(key);
            let number = |field: &str| fields.get(field).and_then(|text| text.parse().ok()).unwrap_or_default();
            let owner = fields.get("owner").cloned();
            lock.holder = owner.map(|owner| Lease { owner, token: number("token"), until_ms: number("lease_until") });
            lock.highest_token = number("token").max(floor);
            lock.owners.retain(|token, _| *token <= floor);
        }
        for (key, breaker) in &mut self.breakers {
            let fields = redis.hash(key);
            let number = |field: &str| fields.get(field).and_then(|text| text.parse().ok()).unwrap_or_default();
            let permit = |(field, until): (&String, &String)| {
                Some((field.strip_prefix("probe:")?.to_owned(), until.parse().ok()?))
            };
            *breaker = Breaker {
                rules: std::mem::take(&mut breaker.rules),
                generation: number("generation"),
                highest_generation: number("generation").max(floor),
                state: fields.get("state").cloned().unwrap_or_default(),
                open_until_ms: number("open_until"),
                streak: number("streak"),
                successes: number("successes"),
                permits: fields.iter().filter_map(permit).collect(),
            };
        }
    }

    /// When nobody does anything any more, and all is well.
    pub(super) fn all_are_closed(&self) -> Result<(), String> {
        let stuck = self.breakers.iter().find(|(_, breaker)| breaker.state != "closed");
        stuck.map_or(Ok(()), |(key, breaker)| Err(format!("{key} stays {}, with {:?}", breaker.state, breaker.permits)))
    }
}

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl Lock {
    fn live(&self, now_ms: u64) -> Option<&Lease> {
        self.holder.as_ref().filter(|lease| now_ms < lease.until_ms)
    }

    fn acquired(&mut self, said: &Said<'_>, tally: &mut Tally) -> Result<(), String> {
        let (owner, token) = (said.args[1], said.number(1));
        let live = self.live(said.now_ms);
        if said.number(0) == 0 {
            let is_held = live.is_some_and(|lease| lease.owner == said.word(2) && lease.owner != owner);
            return must(is_held, "it is refused, and nobody else has it");
        }
        if let Some(lease) = live {
            must(lease.owner == owner && lease.token == token, "a second holder while the first one lives")?;
        } else {
            must(token > self.highest_token, "its token is not above those before")?;
            tally.grants += 1;
        }
        let first = self.owners.entry(token).or_insert_with(|| owner.to_owned());
        must(first == owner, "one token for two owners")?;
        self.highest_token = self.highest_token.max(token);
        self.holder = Some(Lease { owner: owner.to_owned(), token, until_ms: said.now_ms + said.arg(2) });
        Ok(())
    }

    fn renewed(&mut self, said: &Said<'_>) -> Result<(), String> {
        let is_holder = |lease: &Lease| lease.owner == said.args[1] && lease.token == said.arg(2);
        let is_held = self.live(said.now_ms).is_some_and(is_holder);
        if said.answer.is_none() {
            return must(!is_held, "its holder is refused");
        }
        must(is_held, "who does not hold it renews it")?;
        if let Some(lease) = &mut self.holder {
            lease.until_ms = said.now_ms + said.arg(3);
        }
        Ok(())
    }

    fn released(&mut self, said: &Said<'_>) -> Result<(), String> {
        let had = self.holder.as_ref().is_some_and(|lease| lease.owner == said.args[0] && lease.token == said.arg(1));
        match said.answer {
            None => must(!had, "its holder is refused"),
            Some(_) if said.number(0) == 0 => must(self.holder.is_none(), "it is said to be free"),
            Some(_) => {
                self.holder = None;
                must(had, "who does not hold it gives it back")
            }
        }
    }
}

impl Breaker {
    fn rule(&self, name: &str) -> u64 {
        self.rules.get(name).copied().unwrap_or_default()
    }

    /// What time alone brings, and the rules that came along.
    fn settle(&mut self, said: &Said<'_>, tally: &mut Tally) {
        let mut words = said.args[1].split(' ').filter(|word| *word != "new");
        while let (Some(rule), Some(value)) = (words.next(), words.next()) {
            self.rules.insert(rule.to_owned(), value.parse().expect("a number"));
        }
        let before = self.permits.len();
        self.permits.retain(|_, until_ms| said.now_ms < *until_ms);
        tally.lapsed += (before - self.permits.len()) as u64;
    }

    /// A state comes with a generation of its own, above all before.
    fn moves(
        &mut self,
        said: &Said<'_>,
        may: impl FnOnce(&Self, &str) -> bool,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let (generation, state) = (said.number(1), said.word(2));
        if generation == self.generation {
            return must(state == self.state, "another state in the same generation");
        }
        must(generation > self.highest_generation, "a generation that is not above those before")?;
        must(
            self.state.is_empty() || may(self, state),
            &format!("it may not become {state} now, being {}", self.state),
        )?;
        tally.openings += u64::from(state == "open");
        tally.closings += u64::from(state == "closed" && !self.state.is_empty());
        (self.generation, self.highest_generation, self.state) = (generation, generation, state.to_owned());
        (self.streak, self.successes) = (0, 0);
        self.permits.clear();
        Ok(())
    }

    fn asked(&mut self, said: &Said<'_>, tally: &mut Tally) -> Result<(), String> {
        self.settle(said, tally);
        let now_ms = said.now_ms;
        let may = |it: &Self, state: &str| it.state == "open" && state == "half_open" && now_ms >= it.open_until_ms;
        self.moves(said, may, tally)?;
        let (permit, probes_max) = (said.args[2].to_owned(), self.rule("probes_max"));
        let known = self.permits.remove(&permit);
        let probes = self.permits.len() as u64;
        match said.word(0) {
            "allowed" => must(self.state == "closed", "a call is let through, and it is not closed"),
            "probe" => {
                must(self.state == "half_open", "a probe, and it is not half-open")?;
                must(probes < probes_max, "more probes at once than may be")?;
                let until_ms = now_ms + said.number(4);
                let is_due = until_ms == known.unwrap_or(now_ms + self.rule("probe_ms"));
                self.permits.insert(permit, until_ms);
                must(is_due, "a permit with another end")
            }
            _ => {
                let waits = self.state == "open" && now_ms < self.open_until_ms;
                must(waits || self.state == "half_open" && probes >= probes_max, "a call is refused for nothing")
            }
        }
    }

    fn reported(&mut self, said: &Said<'_>, tally: &mut Tally) -> Result<(), String> {
        self.settle(said, tally);
        if said.word(0) != "counted" {
            return self.moves(said, |_, _| false, tally);
        }
        must(said.arg(2) == self.generation, "what belongs to another generation is counted")?;
        let has_permit = self.permits.remove(said.args[3]).is_some();
        must(self.state != "half_open" || has_permit, "a probe that lapsed is counted")?;
        let mut next = self.state.clone();
        for (count, kind) in runs(said.args[4]) {
            let failed = matches!(kind, 'f' | 'x');
            match self.state.as_str() {
                "closed" => {
                    self.streak = if failed { self.streak + count } else { 0 };
                    if (1..=self.streak).contains(&self.rule("failures_max")) {
                        "open".clone_into(&mut next);
                    }
                }
                "half_open" if failed => "open".clone_into(&mut next),
                _ => {
                    self.successes += count;
                    if self.successes >= self.rule("successes_min") {
                        "closed".clone_into(&mut next);
                    }
                }
            }
        }
        must(said.word(2) == next, &format!("it has to be {next} now"))?;
        self.moves(said, |it, state| it.state != "open" && it.state != state, tally)?;
        self.open_until_ms = said.now_ms + said.number(4);
        Ok(())
    }
}

/// `12s1f` as pairs.
fn runs(text: &str) -> Vec<(u64, char)> {
    let kinds = text.matches(char::is_alphabetic).filter_map(|kind| kind.chars().next());
    text.split_terminator(char::is_alphabetic).filter_map(|count| count.parse().ok()).zip(kinds).collect()
}

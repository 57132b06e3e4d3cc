//! `greenroom apikey create|list|revoke`: API keys, straight in Redis: also where no replica runs.

use std::io::Write as _;
use std::num::NonZeroU32;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use super::{ApiKeyArgs, ApiKeyVerb, CliError, CreateArgs, say, time};
use crate::access::{ApiKey, Caller, CallerId, Keys, NewKey, Scopes};
use crate::app::store_options;
use crate::config::Config;
use crate::name::Name;
use crate::store::Store;

/// Keys asked for at once.
const PAGE: u32 = 500;

pub(super) async fn run(config: Config, args: ApiKeyArgs) -> Result<(), CliError> {
    let wanted = match args.verb {
        ApiKeyVerb::Create(args) => Wanted::New(new_key(args)?),
        ApiKeyVerb::List => Wanted::All,
        ApiKeyVerb::Revoke { id } => {
            Wanted::Revoked(id.parse().with_context(|| format!("{id}: write an id as `apikey list` shows it"))?)
        }
    };
    let keys = Keys::new(Store::connect(&store_options(&config)).await.context("Redis")?);
    let operator = Caller::root(CallerId::Command);
    match wanted {
        Wanted::New(new) => {
            let (key, text) = keys.create(&operator, new).await.map_err(anyhow::Error::from)?;
            // Standard output has the key alone, for scripts.
            say(text.expose_secret())?;
            writeln!(std::io::stderr().lock(), "{}\nThe key above is not shown again.", line(&key))
                .context("standard error")?;
            Ok(())
        }
        Wanted::All => list(&keys, &operator).await,
        Wanted::Revoked(id) => say(&line(&keys.revoke(&operator, id).await.map_err(anyhow::Error::from)?)),
    }
}

enum Wanted {
    New(NewKey),
    All,
    Revoked(crate::id::KeyId),
}

async fn list(keys: &Keys, operator: &Caller) -> Result<(), CliError> {
    let mut cursor = None;
    loop {
        let page = keys.list(operator, cursor.as_deref(), PAGE).await.map_err(anyhow::Error::from)?;
        for key in &page.keys {
            say(&line(key))?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn new_key(args: CreateArgs) -> Result<NewKey, CliError> {
    Ok(NewKey {
        name: Name::room(args.name).context("the key's name")?,
        scopes: Scopes::of(&args.scopes),
        tenant: args.tenant.map(Name::tenant).transpose().context("the tenant's name")?,
        expires_in_seconds: args.expires_in_seconds,
        rate_limit_per_second: args.rate_limit.and_then(NonZeroU32::new),
    })
}

fn line(key: &ApiKey) -> String {
    let tenant = key.tenant.as_ref().map_or("-", Name::as_str);
    let end = match (key.revoked_at_ms, key.expires_at_ms) {
        (Some(at), _) => format!("revoked {}", time(at)),
        (None, Some(at)) => format!("until {}", time(at)),
        (None, None) => "for good".to_owned(),
    };
    let limit = key.rate_limit_per_second.map(|limit| format!("  {limit} a second")).unwrap_or_default();
    format!(
        "{}  {}  tenant {tenant}  made {} by {}  {end}{limit}  {}",
        key.id,
        key.scopes,
        time(key.created_at_ms),
        key.created_by,
        key.name
    )
}

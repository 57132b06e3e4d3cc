//! The scripts of API keys: made once, revoked once, listed by age, remembered for a while. Their faults are
//! in `store_faults`.

use std::time::Duration;

use greenroom::access::{NewKey, Scope, Scopes};
use greenroom::id::KeyId;
use greenroom::name::Name;
use greenroom::store::Refusal;
use greenroom::store::keys::Shard;

use crate::support::scene::{BEGIN_MS, Scene, refusal};

const DAY_SECONDS: i64 = 86_400;

#[tokio::test]
async fn a_key_is_made_once_and_found_again() {
    let scene = Scene::open().await;
    let (id, shard) = (scene.key_id(), scene.keys().shard);
    assert!(scene.store.find_key(id).await.expect("an answer").is_none());
    let made = scene.create_key(Some("acme")).await.expect("a key");
    assert_eq!((made.id, made.name.as_str(), made.created_at_ms), (id, "web shop", BEGIN_MS));
    assert_eq!((made.scopes, made.created_by.as_str()), (Scopes::of(&[Scope::Dispatch, Scope::Read]), "settings"));
    assert_eq!(made.tenant.as_ref().map(Name::as_str), Some("acme"));
    let found = scene.store.find_key(id).await.expect("an answer").expect("a key");
    assert_eq!((&found.key, found.hash.as_str(), found.now_ms), (&made, "aGFzaA", BEGIN_MS));

    // Sent again, by a client library that got no answer: nothing changes.
    let before = scene.dump().await;
    scene.pass(Duration::from_secs(5));
    assert_eq!(scene.create_key(Some("acme")).await.expect("the same key"), made);
    assert_eq!(scene.dump().await, before);
    for index in [shard.index_api_keys(None), shard.index_api_keys(made.tenant.as_ref())] {
        assert_eq!(scene.run::<Vec<String>>(&["ZRANGE", &index, "0", "-1"]).await, [id.to_string()]);
    }
    scene.check_keys().await;
}

#[tokio::test]
async fn a_key_is_revoked_once_and_remembered_for_thirty_days() {
    let scene = Scene::open().await;
    let (id, key) = (scene.key_id(), scene.keys().shard.api_key(scene.key_id()));
    assert_eq!(refusal(scene.store.revoke_key(id, "settings").await), Refusal::NotFound);
    scene.create_key(None).await.expect("a key");
    scene.pass(Duration::from_secs(5));
    let revoked = scene.store.revoke_key(id, "command").await.expect("revoked");
    assert_eq!(revoked.revoked_at_ms, Some(BEGIN_MS + 5_000));
    assert!(!revoked.is_open_at(BEGIN_MS + 5_000));
    let before = scene.dump().await;
    scene.pass(Duration::from_secs(5));
    assert_eq!(scene.store.revoke_key(id, "settings").await.expect("the same"), revoked);
    let after = scene.dump().await;
    assert_eq!(after, before);
    let left: i64 = scene.run(&["TTL", &key]).await;
    assert!((30 * DAY_SECONDS - 60..=30 * DAY_SECONDS).contains(&left), "{left}");
    scene.check_keys().await;
}

#[tokio::test]
async fn a_key_with_an_end_opens_until_then_and_is_forgotten_later() {
    let scene = Scene::open().await;
    let new = NewKey {
        name: Name::room("till noon").expect("a name"),
        scopes: Scopes::of(&[Scope::Read]),
        tenant: None,
        expires_in_seconds: Some(3_600),
        rate_limit_per_second: None,
    };
    let made = scene.store.create_key(scene.key_id(), "aGFzaA", &new, "settings").await.expect("a key");
    assert_eq!(made.expires_at_ms, Some(BEGIN_MS + 3_600_000));
    assert!(made.is_open_at(BEGIN_MS + 3_599_999) && !made.is_open_at(BEGIN_MS + 3_600_000));
    let key = scene.keys().shard.api_key(made.id);
    let left: i64 = scene.run(&["TTL", &key]).await;
    assert!(left > 30 * DAY_SECONDS && left <= 30 * DAY_SECONDS + 3_600, "{left}");
    scene.store.revoke_key(made.id, "settings").await.expect("revoked");
    assert!(scene.run::<i64>(&["TTL", &key]).await <= 30 * DAY_SECONDS);
}

#[tokio::test]
async fn a_page_shows_keys_by_age_and_of_one_tenant_and_forgets_what_is_gone() {
    let scene = Scene::open().await;
    let mut made = Vec::new();
    for n in 0..6 {
        let tenant = (n % 2 == 0).then(|| Name::tenant("acme").expect("a name"));
        let (name, scopes) = (Name::room(format!("key {n}")).expect("a name"), Scopes::of(&[Scope::Read]));
        let new = NewKey { name, scopes, tenant, expires_in_seconds: None, rate_limit_per_second: None };
        made.push(scene.store.create_key(KeyId::new(1), "aGFzaA", &new, "settings").await.expect("a key"));
    }
    let acme = made[0].tenant.clone();
    let page = async |tenant: Option<&Name>, after: Option<&str>, limit| {
        scene.store.page_of_keys(Shard(1), tenant, after, limit).await.expect("a page")
    };
    let all = page(None, None, 10).await;
    assert_eq!(all.iter().map(|(_, key)| key.clone().expect("a key")).collect::<Vec<_>>(), made);
    let first = page(None, None, 4).await;
    let second = page(None, Some(&first[3].0), 4).await;
    assert_eq!((first.len(), second.len(), second[0].1.as_ref()), (4, 2, Some(&made[4])));
    let own = page(acme.as_ref(), None, 10).await;
    assert_eq!(own.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [0, 2, 4].map(|n| made[n].id.to_string()));
    assert!(scene.store.page_of_keys(Shard(0), None, None, 10).await.expect("a page").is_empty());

    scene.run::<u8>(&["DEL", &Shard(1).api_key(made[2].id)]).await;
    for tenant in [None, acme.as_ref()] {
        let gone = page(tenant, None, 10).await;
        assert!(gone.iter().any(|(id, key)| *id == made[2].id.to_string() && key.is_none()));
        assert_eq!(page(tenant, None, 10).await.len(), gone.len() - 1, "it is forgotten");
    }
}

#[tokio::test]
async fn what_happens_to_a_key_is_an_event_without_its_secret() {
    let scene = Scene::open().await;
    let id = scene.key_id();
    scene.create_key(Some("acme")).await.expect("a key");
    scene.store.revoke_key(id, "command").await.expect("revoked");
    let events: Vec<(String, std::collections::HashMap<String, String>)> =
        scene.run(&["XRANGE", &scene.keys().shard.events(), "-", "+"]).await;
    let told: Vec<_> = events
        .iter()
        .map(|(_, event)| ["id", "tenant", "state", "reason", "by"].map(|field| event[field].clone()))
        .collect();
    let id = id.to_string();
    let expected = |state: &str, by: &str| [&id, "acme", state, "asked", by].map(str::to_owned);
    assert_eq!(told, [expected("created", "settings"), expected("revoked", "command")]);
    assert!(!format!("{events:?}").contains("aGFzaA"));
}

#[tokio::test]
async fn an_id_of_a_shard_that_there_is_not_names_no_key() {
    let scene = Scene::open().await;
    let far = KeyId::new(scene.store.shards());
    assert!(scene.store.find_key(far).await.expect("an answer").is_none());
    assert_eq!(refusal(scene.store.revoke_key(far, "settings").await), Refusal::NotFound);
}

//! `leader/*`: one leads, terms grow, an older one is refused.

use std::time::Duration;

use greenroom::store::Refusal;

use crate::support::scene::{BELIEVED, CLAIM, Scene, refusal};

const LEASE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn one_of_two_leads_until_its_lease_is_over() {
    let scene = Scene::open().await;
    let store = &scene.store;
    let (a, b) = tokio::join!(store.campaign("a", LEASE), store.campaign("b", LEASE));
    let (a, b) = (a.expect("a campaign"), b.expect("a campaign"));
    assert!(a.leads != b.leads && a.owner == b.owner && a.term == b.term, "{a:?} {b:?}");
    store.resign("b").await.expect("an answer");
    let a = store.campaign("a", LEASE).await.expect("a campaign");
    assert!(a.leads);
    scene.pass(Duration::from_secs(3));
    assert_eq!(store.campaign("a", LEASE).await.expect("a campaign"), a);
    scene.pass(Duration::from_millis(4999));
    assert!(!store.campaign("b", LEASE).await.expect("a campaign").leads);
    scene.pass(Duration::from_millis(1));
    let b = store.campaign("b", LEASE).await.expect("a campaign");
    assert!(b.leads && b.term > a.term);
    assert!(!store.campaign("a", LEASE).await.expect("a campaign").leads);
    scene.check_keys().await;
}

#[tokio::test]
async fn who_resigns_makes_room_and_only_the_leader_can() {
    let scene = Scene::open().await;
    let a = scene.store.campaign("a", LEASE).await.expect("a campaign");
    scene.store.resign("b").await.expect("an answer");
    assert!(!scene.store.campaign("b", LEASE).await.expect("a campaign").leads);
    scene.store.resign("a").await.expect("an answer");
    scene.store.resign("a").await.expect("an answer");
    // In the same millisecond: the term grows all the same.
    let b = scene.store.campaign("b", LEASE).await.expect("a campaign");
    assert!(b.leads && b.term > a.term);
}

#[tokio::test]
async fn a_leader_whose_term_is_over_is_refused_everywhere() {
    let scene = Scene::open().await;
    let (store, shard) = (&scene.store, scene.keys().shard);
    store.begin_term(shard, 7).await.expect("a term");
    store.begin_term(shard, 7).await.expect("the same term");
    let before = scene.dump().await;
    assert_eq!(refusal(store.begin_term(shard, 6).await), Refusal::StaleTerm);
    assert_eq!(refusal(store.reap_provider(shard, 6, 10, CLAIM).await.map(|due| due.len())), Refusal::StaleTerm);
    assert_eq!(refusal(store.reap_beat(shard, 6, 10, BELIEVED).await), Refusal::StaleTerm);
    assert_eq!(refusal(store.reap_store(shard, 6, 10).await), Refusal::StaleTerm);
    assert_eq!(scene.dump().await, before);
    store.reap_provider(shard, 7, 10, CLAIM).await.expect("its own term");
}

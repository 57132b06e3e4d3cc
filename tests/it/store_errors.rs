//! The scripts of error reports: counted once, over time, in a bounded number of groups. Their faults are in
//! `store_faults`.

use std::time::Duration;

use greenroom::error_report::{Category, GroupBounds, GroupId, Occurrence, template};
use greenroom::idempotency::Once;
use greenroom::name::Name;
use greenroom::store::Refusal;
use greenroom::store::keys::shard_of_tenant;

use crate::support::scene::{Scene, refusal};

pub(crate) const BOUNDS: GroupBounds = GroupBounds { groups_max: 10, lifetime: Duration::from_hours(24) };

pub(crate) fn occurrence(tenant: &Name, message: &str) -> Occurrence {
    let (class, template) = (Category::Network.class(), template(message));
    Occurrence {
        id: GroupId::of(tenant, "connect", class.category, &template),
        operation: "connect".to_owned(),
        class,
        template,
        code: "ECONNREFUSED".to_owned(),
        service: "voice".to_owned(),
        sample: format!("{{\"message\":\"{message}\"}}"),
    }
}

/// Counts so many under a call of that name.
async fn count(scene: &Scene, tenant: &Name, message: &str, times: u64, call: &str) -> (bool, u64) {
    let what = occurrence(tenant, message);
    scene.store.report_error(tenant, &what, times, call, BOUNDS, None).await.expect("it is counted")
}

#[tokio::test]
async fn failures_that_are_alike_are_counted_in_one_group() {
    let (scene, tenant) = (Scene::open().await, Name::default_tenant());
    assert_eq!(count(&scene, &tenant, "refused by 10.0.0.1:80", 1, "a").await, (true, 1));
    scene.pass(Duration::from_mins(1));
    assert_eq!(count(&scene, &tenant, "refused by 10.0.0.2:81", 4, "b").await, (false, 5));
    assert_eq!(
        count(&scene, &tenant, "refused by 10.0.0.2:81", 4, "b").await,
        (false, 5),
        "sent twice, it counts once"
    );
    scene.pass(Duration::from_mins(59));
    let id = occurrence(&tenant, "refused by 10.0.0.1:1").id;
    let group = scene.store.find_error(&tenant, &id).await.expect("an answer").expect("a group");
    assert_eq!((group.template.as_str(), group.count), ("refused by <address>", 5));
    assert_eq!((group.code.as_str(), group.service.as_str()), ("ECONNREFUSED", "voice"));
    assert_eq!((group.first_seen_ms, group.last_seen_ms), (scene.now() - 3_600_000, scene.now() - 3_540_000));
    assert_eq!((group.trend.minutes[0], group.trend.minutes.iter().sum::<u64>()), (4, 4), "what is older is no more");
    assert_eq!(group.trend.hours.iter().sum::<u64>(), 5);
    assert!(scene.store.find_error(&Name::tenant("acme").expect("a name"), &id).await.expect("an answer").is_none());
    scene.check_keys().await;
}

#[tokio::test]
async fn a_first_report_that_is_sent_twice_is_told_the_same() {
    let (scene, tenant) = (Scene::open().await, Name::default_tenant());
    assert_eq!(count(&scene, &tenant, "x", 3, "a").await, (true, 3));
    assert_eq!(count(&scene, &tenant, "x", 3, "a").await, (true, 3));
    let (what, one) = (occurrence(&tenant, "y"), Once::new("ann", "report", "", "k", b"1"));
    let report =
        async |call: &str, once: &Once| scene.store.report_error(&tenant, &what, 1, call, BOUNDS, Some(once)).await;
    assert_eq!(report("b", &one).await.expect("it is counted"), (true, 1));
    assert_eq!(report("c", &Once::new("ann", "report", "", "k", b"1")).await.expect("the same"), (true, 1));
    let other = Once::new("ann", "report", "", "k", b"2");
    assert_eq!(refusal(report("d", &other).await), Refusal::KeyReused);
    scene.check_keys().await;
}

#[tokio::test]
async fn a_ring_forgets_what_is_older_than_itself() {
    let (scene, tenant) = (Scene::open().await, Name::default_tenant());
    for n in 0..200 {
        count(&scene, &tenant, "x", 1, &n.to_string()).await;
        scene.pass(Duration::from_mins(7));
    }
    let id = occurrence(&tenant, "x").id;
    let group = scene.store.find_error(&tenant, &id).await.expect("an answer").expect("a group");
    assert_eq!((group.count, group.trend.minutes.iter().sum::<u64>()), (200, 8));
    assert!((190..=200).contains(&group.trend.hours.iter().sum::<u64>()), "{:?}", group.trend.hours);
    assert_eq!(group.samples.len(), 3, "of many, the last few");
    assert!(group.samples.is_sorted_by(|a, b| a.0 > b.0), "the newest first: {:?}", group.samples);
    let fields: u64 = scene.run(&["HLEN", &shard_of_tenant(&tenant, 4).error(&tenant, &id)]).await;
    assert!(fields <= 60 + 24 + 16, "{fields} fields");
}

#[tokio::test]
async fn groups_are_bounded_and_the_one_not_seen_for_longest_goes_first() {
    let (scene, tenant) = (Scene::open().await, Name::default_tenant());
    let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    for word in &words[..10] {
        count(&scene, &tenant, word, 1, word).await;
    }
    // Seen again, so another goes before it; all in the same millisecond.
    count(&scene, &tenant, "a", 1, "again").await;
    for word in &words[10..] {
        count(&scene, &tenant, word, 1, word).await;
    }
    let page = scene.store.page_of_errors(&tenant, None, 100).await.expect("a page");
    let left: Vec<_> = page.iter().map(|(_, group)| group.as_ref().expect("it is there").template.clone()).collect();
    assert_eq!(left, ["l", "k", "a", "j", "i", "h", "g", "f", "e", "d"]);
    let gone = occurrence(&tenant, "b").id;
    assert!(scene.store.find_error(&tenant, &gone).await.expect("an answer").is_none());
    // Pages tell where they ended.
    let (mut below, mut seen) = (None, Vec::new());
    loop {
        let page = scene.store.page_of_errors(&tenant, below, 3).await.expect("a page");
        let Some((place, _)) = page.last() else { break };
        below = Some(*place);
        seen.extend(page.into_iter().filter_map(|(_, group)| group).map(|group| group.template));
    }
    assert_eq!(seen, left);
    scene.check_keys().await;
}

#[tokio::test]
async fn a_group_that_is_resolved_or_over_is_forgotten_whole() {
    let (scene, tenant) = (Scene::open().await, Name::default_tenant());
    for word in ["a", "b", "c"] {
        count(&scene, &tenant, word, 1, word).await;
    }
    let [a, b] = ["a", "b"].map(|word| occurrence(&tenant, word).id);
    for _ in 0..2 {
        scene.store.forget_error(&tenant, &a).await.expect("it is forgotten");
    }
    assert_eq!(count(&scene, &tenant, "a", 1, "d").await, (true, 1), "it counts from one");
    // Its time was over: the list forgets it, too.
    scene.run::<u8>(&["DEL", &shard_of_tenant(&tenant, 4).error(&tenant, &b)]).await;
    for (page, left) in [(3, 2), (2, 2)] {
        let found = scene.store.page_of_errors(&tenant, None, 10).await.expect("a page");
        assert_eq!((found.len(), found.iter().filter(|(_, group)| group.is_some()).count()), (page, left));
    }
    scene.check_nothing_left().await;
}

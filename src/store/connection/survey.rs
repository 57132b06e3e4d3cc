//! What `doctor` wants to know of every server.

use std::collections::HashMap;

use super::link::Link;
use super::request::Request;
use super::{Router, Way};
use crate::store::StoreError;

/// A master as it describes itself.
#[derive(Debug, Clone)]
pub struct Node {
    /// `host:port`.
    pub address: String,
    /// Its `INFO`, or why there is none.
    pub info: Result<String, StoreError>,
    /// Its clock, in milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// How many replicas must keep up before it takes a write, where it tells.
    pub min_replicas_to_write: Option<u32>,
}

/// A Sentinel's view of the master.
#[derive(Debug, Clone)]
pub struct SentinelState {
    /// The Sentinel's `host:port`.
    pub address: String,
    /// Its answer to `SENTINEL MASTER`.
    pub fields: Result<HashMap<String, String>, StoreError>,
}

/// All masters, and what is special of the topology.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The masters.
    pub nodes: Vec<Node>,
    /// What each Sentinel says of the master.
    pub sentinels: Vec<SentinelState>,
    /// Of a Cluster: how many slots no master serves.
    pub uncovered_slots: Option<usize>,
}

impl Router {
    /// The run ids of all masters, in order: others after a restart or a fail-over. None where one of them does
    /// not tell; an error where one does not answer.
    pub(in crate::store) async fn runs(&self) -> Result<Option<String>, StoreError> {
        let links = match &self.0 {
            Way::One(link, _) => vec![std::sync::Arc::clone(link)],
            Way::Cluster(cluster) => {
                let masters = cluster.map().masters();
                masters.iter().map(|address| cluster.link(address)).collect::<Result<_, _>>()?
            }
        };
        let mut cmd = redis::Cmd::new();
        cmd.arg("INFO").arg("server");
        let mut runs = Vec::with_capacity(links.len());
        for link in links {
            let info: String = link.call(Request::Command(&cmd), false).await?;
            let Some(run) = info.lines().find_map(|line| line.strip_prefix("run_id:")) else { return Ok(None) };
            runs.push(run.trim().to_owned());
        }
        runs.sort();
        Ok(Some(runs.join(",")))
    }

    /// Asks every master about itself.
    pub(in crate::store) async fn survey(&self) -> Result<Survey, StoreError> {
        match &self.0 {
            Way::One(link, sentinels) => {
                let address = link.endpoint().await?.addr().to_string();
                let sentinels = match sentinels {
                    Some(sentinels) => sentinels.states().await,
                    None => Vec::new(),
                };
                Ok(Survey { nodes: vec![node(address, link).await], sentinels, uncovered_slots: None })
            }
            Way::Cluster(cluster) => {
                cluster.refresh(std::time::Instant::now()).await?;
                let map = cluster.map();
                let mut survey = Survey { uncovered_slots: Some(map.uncovered()), ..Survey::default() };
                for address in map.masters() {
                    let link = cluster.link(&address)?;
                    survey.nodes.push(node(address, &link).await);
                }
                Ok(survey)
            }
        }
    }
}

async fn node(address: String, link: &std::sync::Arc<Link>) -> Node {
    let command = |words: &[&str]| {
        let mut cmd = redis::Cmd::new();
        cmd.arg(words);
        cmd
    };
    let info = link.call(Request::Command(&command(&["INFO"])), false).await;
    let time: Option<(u64, u64)> = link.call(Request::Command(&command(&["TIME"])), false).await.ok();
    let asked = command(&["CONFIG", "GET", "min-replicas-to-write"]);
    // The least that a user needs to be allowed does not include this.
    let told: Option<(String, u32)> = link.call(Request::Command(&asked), false).await.ok();
    Node {
        address,
        info: info.map_err(StoreError::from),
        time_ms: time.map(|(seconds, micros)| seconds * 1000 + micros / 1000),
        min_replicas_to_write: told.map(|(_, replicas)| replicas),
    }
}

//! Feeds as they run: when each is looked at, what became of it, and the requests about them.

mod board;
pub mod routes;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(super) use self::routes::ROUTES;
pub use self::{
    board::{Board, Job},
    routes::{Lines, One, Update, Updated},
};
use super::live::Live;
use crate::feed::Counts;

/// How often it is looked which feed is due.
const TURN: Duration = Duration::from_secs(1);

/// One feed, for people and programs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Where it is from, without a URL's query.
    pub source: String,
    /// How it is written, as far as that is known.
    pub format: String,
    /// ok, never (nothing good yet), failing (the last look failed), stale, off, `no_room`
    pub state: String,
    /// Whether its last good copy is in force.
    pub in_force: bool,
    /// Ranges in force: IPv4, IPv6.
    pub ranges: [u64; 2],
    /// Entries of the copy, and what was left out.
    pub counts: Counts,
    /// Ranges that were cut, because they hold somebody who has to get through.
    pub cut: u64,
    /// Seconds since the copy was fetched.
    pub fetched_seconds: Option<u64>,
    /// Seconds since its source was last heard to have nothing newer.
    pub checked_seconds: Option<u64>,
    /// When that was, since 1970.
    pub checked: Option<u64>,
    /// Seconds until it is looked at again.
    pub next_seconds: Option<u64>,
    /// It is being looked at.
    pub running: bool,
    /// What was wrong the last time.
    pub error: Option<String>,
    /// Looks by how they ended.
    pub looks: Looks,
}

/// Looks by how they ended, since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Looks {
    /// With new content.
    pub changed: u64,
    /// With nothing new.
    pub same: u64,
    /// Without anything.
    pub failed: u64,
    /// With something that was refused.
    pub refused: u64,
}

impl Looks {
    /// With their labels.
    #[must_use]
    pub const fn by_label(self) -> [(&'static str, u64); 4] {
        let Self { changed, same, failed, refused } = self;
        [("changed", changed), ("same", same), ("failed", failed), ("refused", refused)]
    }
}

/// What became of a look that somebody asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// The feed.
    pub name: String,
    /// changed, same, failed, refused, or running: it takes longer than the answer may.
    pub result: String,
    /// What is wrong.
    pub error: Option<String>,
    /// Entries, and what is left out of them.
    pub counts: Counts,
    /// Ranges that are cut, because they hold somebody who has to get through.
    pub cut: u64,
    /// Ranges that were not blocked by it.
    pub added: u64,
    /// Ranges that it blocked.
    pub removed: u64,
}

/// Looks at feeds that are due and takes what they bring into force, until `stop`.
pub async fn watch(live: Arc<Live>, stop: CancellationToken) {
    let turns = async {
        loop {
            sleep(TURN).await;
            for job in live.due_feeds() {
                let live = live.clone();
                // A thread of its own: a look may take minutes.
                tokio::task::spawn_blocking(move || live.look_at_feed(&job, &Update::default(), false));
            }
            if live.feeds_want_a_swap() {
                let live = live.clone();
                let swap = tokio::task::spawn_blocking(move || live.swap_feeds());
                // What it says is said there.
                let _ = swap.await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = turns => {}
    }
}

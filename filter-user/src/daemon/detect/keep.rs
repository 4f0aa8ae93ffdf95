//! What is usual, in `daemon.state`: a daemon that starts in the middle of an attack must not learn that it is usual.
//!
//! The file `baselines` is JSON: services and vectors go by their names, since numbers change with the configuration.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    detect::{baseline::Baseline, vector::VECTORS},
    store::Folder,
};
use filter_common::config::MAX_SERVICES;

const FILE: &str = "baselines";
/// Version of the form; another one is as good as none.
const VERSION: u32 = 1;
/// Services and vectors, each with two names and four numbers.
const LARGEST: u64 = (MAX_SERVICES * VECTORS * 512) as u64;
/// Between two writings: what is usual follows within minutes.
const PAUSE: Duration = Duration::from_mins(5);

/// What is usual for one service and vector.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Usual {
    /// `*` is the rest of the host.
    pub(super) service: String,
    pub(super) vector: String,
    #[serde(flatten)]
    pub(super) baseline: Baseline,
}

#[derive(Deserialize, Serialize)]
struct Kept {
    version: u32,
    /// When it was written, seconds since 1970.
    written: u64,
    usual: Vec<Usual>,
}

/// Writes it now and then.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    at: Option<Instant>,
}

impl Keeper {
    /// Whether it is time to write. The first look does not count: nothing has been learned.
    pub(super) fn is_due(&mut self) -> bool {
        self.at.get_or_insert_with(Instant::now).elapsed() >= PAUSE
    }

    /// Writes it at `wall`, seconds since 1970. It is not tried again before the next time.
    pub(super) fn write(&mut self, state: &Path, usual: Vec<Usual>, wall: u64) -> Result<()> {
        self.at = Some(Instant::now());
        let kept = Kept { version: VERSION, written: wall, usual };
        Folder::open(state)?.write(FILE, &kept).context("what is usual would not survive a restart")
    }
}

/// What was kept, as much as it is worth at `wall`; nothing of a file that makes no sense, which is put aside.
pub(super) fn read(state: &Path, wall: u64) -> Result<Vec<Usual>> {
    let parse = |bytes: &[u8]| {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let odd = kept.usual.iter().find(|usual| !usual.baseline.can_be());
        match odd {
            Some(odd) => Err(format!("{} {}: no load is like that", odd.service, odd.vector)),
            None => Ok(kept),
        }
    };
    let kept = Folder::open(state)?.read_with(FILE, LARGEST, parse).context("what was usual")?;
    let Some(kept) = kept.filter(|kept| kept.version == VERSION) else { return Ok(Vec::new()) };
    // A clock that was put back has lost nothing.
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let away = wall.saturating_sub(kept.written) as f64;
    let aged = |usual: Usual| Usual { baseline: usual.baseline.aged(away), ..usual };
    Ok(kept.usual.into_iter().map(aged).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::baseline::Bounds;

    const DAY: u64 = 86_400;
    const BOUNDS: Bounds = Bounds { floor: 1000.0, factor: 2.0 };

    fn usual() -> Vec<Usual> {
        let mut baseline = Baseline::default();
        (0..3600).for_each(|_| baseline.learn(50_000.0, 1.0, &BOUNDS, false));
        vec![Usual { service: "web".to_owned(), vector: "udp".to_owned(), baseline }]
    }

    fn threshold(state: &Path, wall: u64) -> Option<f64> {
        let read = read(state, wall).unwrap();
        read.first().map(|usual| usual.baseline.threshold(&BOUNDS, false))
    }

    #[test]
    fn it_comes_back_and_is_worth_less_with_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert!(read(&state, 0).unwrap().is_empty());
        Keeper::default().write(&state, usual(), 100 * DAY).unwrap();
        let early = read(&state, 7).unwrap()[0].baseline.usual();
        assert!((early - usual()[0].baseline.usual()).abs() < 1e-6, "a clock in 1970: {early}");
        for days in [0, 1, 3] {
            let threshold = threshold(&state, (100 + days) * DAY).unwrap();
            assert!((100_000.0..150_000.0).contains(&threshold), "after {days} days {threshold}");
        }
        // A month later it is anybody's guess: as if nothing were known.
        assert_eq!(threshold(&state, 130 * DAY), Some(Baseline::default().threshold(&BOUNDS, false)));
    }

    #[test]
    fn what_makes_no_sense_is_put_aside() {
        for text in [
            "nonsense".to_owned(),
            serde_json::json!({ "version": 1, "written": 1, "usual": [
                { "service": "web", "vector": "udp", "mean": -5.0, "deviation": 0, "anchor": 0, "age": 99 }
            ] })
            .to_string(),
            serde_json::json!({ "version": 1, "written": 1, "usual": [
                { "service": "web", "vector": "udp", "mean": 1e300, "deviation": 0, "anchor": 0, "age": 99 }
            ] })
            .to_string(),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let state = folder.path().join("state");
            Folder::open(&state).unwrap().write_bytes(FILE, text.as_bytes()).unwrap();
            assert!(read(&state, 2).unwrap().is_empty(), "{text}");
            assert_eq!(Folder::existing(&state).unwrap().aside().unwrap(), ["baselines.quarantined-1"]);
        }
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        Keeper::default().write(&state, usual(), 1).unwrap();
        let path = state.join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(read(&state, 2).unwrap().is_empty());
        assert_eq!(Folder::existing(&state).unwrap().aside().unwrap(), ["baselines.quarantined-1"]);
    }

    #[test]
    fn it_is_written_now_and_then() {
        let mut keeper = Keeper::default();
        assert!(!keeper.is_due());
        keeper.at = Instant::now().checked_sub(PAUSE);
        assert!(keeper.is_due());
        let folder = tempfile::tempdir().unwrap();
        keeper.write(&folder.path().join("state"), usual(), 1).unwrap();
        assert!(!keeper.is_due());
    }

    #[test]
    fn all_cells_fit() {
        let longest =
            Usual { service: "x".repeat(64), vector: "reflection_memcached".to_owned(), ..usual().remove(0) };
        let all = Kept { version: VERSION, written: u64::MAX, usual: vec![longest; MAX_SERVICES * VECTORS] };
        assert!((serde_json::to_vec(&all).unwrap().len() as u64) < LARGEST);
    }
}

//! The detector's turns, and what they lead to.

use std::sync::{MutexGuard, PoisonError};

use anyhow::Result;
use filter_common::ban::Origin;
use tracing::{info, warn};

use super::Live;
use crate::{
    daemon::{
        bans::Add,
        deadline::Clock,
        detect::{Attacks, Detection, Line, One, Whom},
    },
    dataplane::monotonic,
    detect::{Change, vector::VECTORS},
};

/// By service number: how often each vector was found, and whether it goes on.
pub(super) type Found = Vec<[(u64, bool); VECTORS]>;

fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

impl Live {
    /// Taken before the state's lock, never behind it.
    pub(super) fn detection(&self) -> MutexGuard<'_, Detection> {
        self.detection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The detector's turn.
    pub fn detect(&self) {
        let mut detection = self.detection();
        let complaint = self.turn(&mut detection).err().map(|problem| format!("{problem:#}"));
        if let Some(text) = complaint.as_ref().filter(|text| detection.complaint.as_ref() != Some(*text)) {
            warn!("the detector can't do its work: {text}");
        }
        detection.complaint = complaint;
    }

    fn turn(&self, detection: &mut Detection) -> Result<()> {
        let mut changes = {
            let state = self.state();
            detection.follow(state.generation, &state.settings, &state.plan, &state.dataplane)?
        };
        changes.extend(detection.turn(&mut self.history())?);
        detection.arm()?;
        for whom in detection.choose()? {
            self.ban_heavy(detection, &whom)?;
        }
        for change in changes {
            self.tell(detection, change)?;
        }
        Ok(())
    }

    /// Writes down what is usual, now and then and, with `now`, at the end.
    pub fn keep_usual(&self, now: bool) {
        let state = self.state().settings.daemon.state.as_ref().clone();
        if let Err(problem) = self.detection().keep(&state, now) {
            warn!("{problem:#}");
        }
    }

    /// One by one: whom a guard rail or an operator's ban holds is left alone.
    fn ban_heavy(&self, detection: &mut Detection, whom: &Whom) -> Result<()> {
        let Whom { attack, reason, nets, ttl } = whom;
        for net in nets {
            let mut state = self.state();
            let add = Add {
                entries: vec![*net],
                ttl_seconds: Some(ttl.as_secs()),
                reason: reason.clone(),
                origin: Origin::Detector,
                ..Add::default()
            };
            let is_free = state.dataplane.bans_holding(net.addr())?.is_empty();
            if is_free && state.ban(&add, own_user())?.made == 1 {
                let until = monotonic()?.saturating_add(u64::try_from(ttl.as_nanos())?);
                detection.bans.made(*net, *attack, until);
                drop(state);
                detection.note(*attack, format!("banned {net} for {} s: {reason}", ttl.as_secs()))?;
            } else {
                detection.bans.leave_alone(*net, *attack);
            }
        }
        Ok(())
    }

    /// Says it once; addresses are shortened to their /24 or /48.
    fn tell(&self, detection: &mut Detection, change: Change) -> Result<()> {
        let (Change::Began(id) | Change::Joined(id, _) | Change::Ended(id)) = change;
        if let Change::Ended(_) = change {
            let undone = detection.undo(id)?;
            self.state().end_detectors(undone)?;
        }
        let Some(attack) = detection.attack(id) else { return Ok(()) };
        let service = detection.service(attack.service);
        let pps = attack.peak_pps.round();
        match change {
            Change::Began(_) => {
                let vector = attack.hits.first().map_or("", |hit| hit.vector.label());
                warn!(attack = id, service, vector, pps, "an attack began: floodwall attack show {id}");
            }
            Change::Joined(_, vector) => {
                warn!(attack = id, service, vector = vector.label(), "the attack has another vector");
            }
            Change::Ended(_) => {
                let most = attack.prefixes.heaviest(1).first().map(|heavy| heavy.key.to_string());
                let most = most.unwrap_or_default();
                let acts = attack.acts.len();
                info!(attack = id, service, pps, most, acts, "the attack is over, its acts are undone");
            }
        }
        Ok(())
    }

    /// For the control socket.
    pub fn attacks(&self) -> Result<Attacks> {
        let lines = self.detection().lines(&Clock::now()?);
        Ok(Attacks { schema: 1, attacks: lines })
    }

    /// One of them.
    pub fn attack(&self, id: u64) -> Result<Option<One>> {
        let detection = self.detection();
        let Some(attack) = detection.attack(id) else { return Ok(None) };
        let service = detection.service(attack.service);
        let line = Line::new(attack, service, &Clock::now()?);
        Ok(Some(One::new(attack, line)))
    }

    /// The attacks, and SYNs received by service number.
    pub(super) fn found(&self) -> (Found, Vec<f64>) {
        let detection = self.detection();
        (detection.found(), detection.syns().to_vec())
    }
}

//! Cookie secrets: made here, used by the data path, rotated without a gap.
//!
//! A key belongs to an epoch; a cookie names its epoch by two bits, and the data path honours the current and
//! the previous one. Epoch keys are derived from a master ([`Master`]): random, then the epochs are simply
//! counted; or a key file, then `epoch = floor(unix time / period)`, so that hosts that share the file accept
//! each other's cookies without a word between them. What to write when is decided in `rotation`, which
//! knows no map and no clock; here it is carried out.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::dataplane::{Dataplane, KeyMap, monotonic};

mod master;
mod rotation;

pub use master::Master;
use rotation::{Clock, Policy};

/// How keys are made and how long they live.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between rotations.
    pub period: Duration,
    /// How long unknown ACKs go to the stack after cookies were armed: its own may be in flight.
    pub grace: Duration,
    /// Master that hosts share; without it a random one, known to nobody.
    pub key_file: Option<PathBuf>,
}

impl Settings {
    fn policy(&self) -> Policy {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 16);
        Policy {
            period: nanoseconds(self.period).max(1),
            grace: nanoseconds(self.grace),
            shared: self.key_file.is_some(),
        }
    }

    fn master(&self) -> Result<Master> {
        match &self.key_file {
            Some(path) => Master::read(path),
            None => Master::random(),
        }
    }
}

/// What [`Secrets::rotate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The new key issues now, as this epoch.
    Now {
        /// Its number.
        epoch: u64,
    },
    /// The changed key file is used from the next epoch on, together with the other hosts.
    NextEpoch {
        /// Until then.
        after: Duration,
    },
}

/// Keeps the data path's keys fresh.
#[derive(Debug)]
pub struct Secrets {
    keys: KeyMap,
    master: Master,
    settings: Settings,
}

impl Secrets {
    /// Takes the keys of `dataplane` over, or arms cookies if there are none in their time.
    pub fn start(dataplane: &Dataplane, settings: Settings) -> Result<Self> {
        Self::of(dataplane.key_map()?, settings)
    }

    /// The same with a key map that no program runs on yet.
    pub fn of(keys: KeyMap, settings: Settings) -> Result<Self> {
        let master = settings.master()?;
        let mut secrets = Self { keys, master, settings };
        secrets.tick()?;
        Ok(secrets)
    }

    /// Uses other settings from now on; a new period counts from the next rotation on.
    pub fn reconfigure(&mut self, settings: Settings) -> Result<()> {
        if settings.key_file != self.settings.key_file {
            self.master = settings.master()?;
        }
        self.settings = settings;
        self.tick().map(drop)
    }

    /// Rotates if it is time; returns the new epoch. To be called at least once a second, see
    /// [`Secrets::until_due`].
    pub fn tick(&mut self) -> Result<Option<u64>> {
        let clock = now()?;
        let epoch = rotation::due(&self.keys.timeline(), clock, self.settings.policy());
        if let Some(epoch) = epoch {
            self.begin(epoch, clock);
        }
        Ok(epoch)
    }

    /// Goes on with the key map of `dataplane`: after a `detach` an apply has made a new one.
    pub fn follow(&mut self, dataplane: &Dataplane) -> Result<()> {
        self.keys = dataplane.key_map()?;
        self.tick().map(drop)
    }

    /// To be called when SYNs are answered that went to the stack before: its own cookies may be in flight.
    pub fn arm(&self) -> Result<()> {
        self.keys.set_grace_until(monotonic()?.saturating_add(self.settings.policy().grace));
        Ok(())
    }

    /// Time until [`Secrets::tick`] may have something to do, at most a second (clocks may jump).
    pub fn until_due(&self) -> Result<Duration> {
        let wait = rotation::until_due(&self.keys.timeline(), now()?, self.settings.policy());
        Ok(Duration::from_nanos(wait).min(Duration::from_secs(1)))
    }

    /// Rotates on demand.
    ///
    /// With a random master: a new master now. Twice within a period would end cookies in flight, so that is
    /// refused unless `force`. With a key file: reads it again; an unchanged one is an error. `dry`: only tells.
    pub fn rotate(&mut self, force: bool, dry: bool) -> Result<Rotated> {
        let clock = now()?;
        let policy = self.settings.policy();
        let timeline = self.keys.timeline();
        if let Some(path) = &self.settings.key_file {
            let master = Master::read(path)?;
            if master == self.master {
                bail!(
                    "{} has not changed: write a new key to it on every host that shares it, then rotate",
                    path.display()
                );
            }
            if !dry {
                self.master = master;
            }
            let after = Duration::from_nanos(rotation::until_due(&timeline, clock, policy));
            return Ok(Rotated::NextEpoch { after });
        }
        let wait = rotation::previous_needed(&timeline, clock.monotonic);
        if wait > 0 && !force {
            bail!(
                "the previous key is honoured for another {:.0?}: wait, or use --force, which ends handshakes \
                 in flight that it began",
                Duration::from_nanos(wait)
            );
        }
        let epoch = timeline.current.wrapping_add(1);
        if dry {
            return Ok(Rotated::Now { epoch });
        }
        self.master = Master::random()?;
        self.begin(epoch, clock);
        Ok(Rotated::Now { epoch })
    }

    fn begin(&self, epoch: u64, clock: Clock) {
        let timeline = self.keys.timeline();
        let mac = self.master.epoch_key(epoch);
        rotation::begin(&self.keys, &timeline, epoch, &mac, clock.monotonic, self.settings.policy());
    }
}

fn now() -> Result<Clock> {
    let unix = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME).context("clock")?;
    let unix = u64::try_from(Duration::from(unix).as_nanos()).context("clock before 1970 or after 2554")?;
    Ok(Clock { monotonic: monotonic()?, unix })
}

/// Keeps key bytes out of core dumps, and other processes of this user out of our memory.
pub fn forbid_core_dumps() -> Result<()> {
    nix::sys::prctl::set_dumpable(false).context("prctl(PR_SET_DUMPABLE)")
}

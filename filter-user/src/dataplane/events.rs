//! Sampled packets, what was counted beside them, and what a detector may arm.

use std::{mem::offset_of, sync::atomic::Ordering::Relaxed};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray, RingBuf};
use filter_common::{
    abi::{Plane, name},
    arm::{Arm, Switch},
    event::{Event, Sampler},
    reason::{REASONS, Reason},
};

use super::{
    mapping::Mapping,
    pins::Pins,
    slots::{self, Slots},
    tables::{self, Counters},
};

/// Words of a [`Sampler`].
const WORDS: usize = size_of::<Sampler>() / 8;

/// How many events there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFigures {
    /// Written to the ring.
    pub written: u64,
    /// Lost because the ring was full.
    pub full: u64,
    /// Lost because there were more than the budget.
    pub over: u64,
}

/// The samplers of all CPUs.
pub(super) struct Samplers(PerCpuArray<MapData, [u64; WORDS]>);

impl Samplers {
    pub(super) fn open(pins: &Pins) -> Result<Self> {
        Ok(Self(tables::open(&pins.map(name::SAMPLER))?.try_into().context(name::SAMPLER)?))
    }

    pub(super) fn figures(&self) -> Result<EventFigures> {
        let values = self.0.get(&0, 0).context(name::SAMPLER)?;
        let sum = |offset: usize| values.iter().map(|words| words[offset / 8]).sum();
        Ok(EventFigures {
            written: sum(offset_of!(Sampler, written)),
            full: sum(offset_of!(Sampler, full)),
            over: sum(offset_of!(Sampler, over)),
        })
    }
}

/// What a detector reads, and may arm. The ring has one reader.
pub struct Events {
    ring: RingBuf<MapData>,
    counters: Counters,
    slots: Slots,
    arms: Mapping,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// What can be armed for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arming {
    /// SYNs are answered (`syn.mode = "auto"`).
    Syn,
    /// Every segment is looked up.
    Stray,
    /// Limits of sources are narrower (`detect.tighten`).
    Limits,
}

impl Arming {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Syn, Self::Stray, Self::Limits];

    /// The word that says until when.
    const fn until(self, service: usize) -> usize {
        let offset = match self {
            Self::Syn => offset_of!(Arm, syn) + offset_of!(Switch, until),
            Self::Stray => offset_of!(Arm, state) + offset_of!(Switch, until),
            Self::Limits => offset_of!(Arm, tight),
        };
        (service * size_of::<Arm>() + offset) / 8
    }

    /// Whether it is a [`Switch`], which also says since when and how often.
    const fn is_switch(self) -> bool {
        !matches!(self, Self::Limits)
    }
}

impl Events {
    pub(super) fn open(pins: &Pins) -> Result<Self> {
        let arms = MapData::from_pin(pins.map(name::ARMS)).context(name::ARMS)?;
        Ok(Self {
            ring: tables::open(&pins.map(name::EVENTS))?.try_into().context(name::EVENTS)?,
            counters: Counters::open(&pins.map(name::COUNTERS))?,
            slots: Slots::open(&pins.map(slots::NAME))?,
            arms: Mapping::writable(&arms).context(name::ARMS)?,
        })
    }

    /// Takes at most so many events out of the ring.
    pub fn drain(&mut self, most: usize, mut visit: impl FnMut(Event)) {
        for _ in 0..most {
            let Some(item) = self.ring.next() else { return };
            if let Some(event) = Event::read(&item) {
                visit(event);
            }
        }
    }

    /// Packets received so far by fate, all interfaces and planes together.
    pub fn received(&self) -> Result<Box<[u64; REASONS]>> {
        let mut sums = Box::new([0; REASONS]);
        for (slot, record) in self.slots.records()?.into_iter().enumerate() {
            if record.ifindex == 0 {
                continue;
            }
            for reason in Reason::ALL.iter().filter(|reason| !reason.is_of_egress()) {
                for plane in [Plane::Enforced, Plane::Observed] {
                    sums[*reason as usize] += self.counters.get(slot as u32, plane, *reason)?.packets;
                }
            }
        }
        Ok(sums)
    }

    /// Whether a segment to that service ever had a socket.
    #[must_use]
    pub fn is_served(&self, service: usize) -> bool {
        let word = (service * size_of::<Arm>() + offset_of!(Arm, served)) / 8;
        self.arms.words().get(word).is_some_and(|word| word.load(Relaxed) != 0)
    }

    /// Keeps something armed for that long from now on, at least; it disarms by itself.
    pub fn arm(&self, what: Arming, service: usize, now: u64, until: u64) {
        let word = |offset: usize| self.arms.words().get(what.until(service) + offset / 8);
        let Some(end) = word(offset_of!(Switch, until)) else { return };
        if end.fetch_max(until, Relaxed) <= now && what.is_switch() {
            word(offset_of!(Switch, since)).inspect(|since| since.store(now, Relaxed));
            word(offset_of!(Switch, count)).inspect(|count| {
                count.fetch_add(1, Relaxed);
            });
        }
    }

    /// Disarms what [`Events::arm`] has armed until then; what the data path has armed itself since stays.
    pub fn disarm(&self, what: Arming, service: usize, now: u64, until: u64) {
        if let Some(end) = self.arms.words().get(what.until(service)) {
            let _ = end.compare_exchange(until, now, Relaxed, Relaxed);
        }
    }
}

const _: () = assert!(offset_of!(Switch, until) == 0);

//! Sampled packets: what the data path tells user space about one packet in many.
//!
//! One packet in [`crate::config::Config::sample_mask`] + 1 of each reason, interface and CPU is offered, by its counter, so the decision
//! costs no memory of its own and no reason hides behind another. A [`Sampler`] on each CPU keeps to a budget: it takes only every
//! second, fourth, .. of what is offered while there is more, and an event carries how many packets it stands for.

/// Bytes of the frame that an event holds at most.
pub const SNAP: usize = 128;

/// Bytes of the ring: 6,000 events.
pub const RING: usize = 1 << 20;

/// Events are budgeted over so many nanoseconds.
pub const WINDOW: u64 = 10_000_000;

/// At most every 32,768th of what is offered is taken.
const MAX_SHIFT: u32 = 15;

/// After a pause of so many nanoseconds everything that is offered is taken again.
const PAUSE: u64 = 1_000_000_000;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// `CLOCK_MONOTONIC` to the tick, nanoseconds.
    pub time: u64,
    /// Packets that it stands for.
    pub weight: u32,
    /// Index of the interface that it came in through.
    pub ifindex: u32,
    /// Bytes on the wire from the Ethernet header on, as received.
    pub length: u32,
    /// Bytes of `frame` that are the packet's.
    pub captured: u16,
    /// [`crate::reason::Reason`] as a number.
    pub reason: u8,
    /// [`crate::abi::Plane`] as a number.
    pub plane: u8,
    /// How the frame begins. What was replied to is the answer by now: source and destination have changed places.
    pub frame: [u8; SNAP],
}

impl Event {
    /// An event as it lies in the ring; `None` if it has another size.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (weight, rest) = rest.split_first_chunk()?;
        let (ifindex, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (captured, rest) = rest.split_first_chunk()?;
        let ([reason, plane], rest) = rest.split_first_chunk()?;
        Some(Self {
            time: u64::from_ne_bytes(*time),
            weight: u32::from_ne_bytes(*weight),
            ifindex: u32::from_ne_bytes(*ifindex),
            length: u32::from_ne_bytes(*length),
            captured: u16::from_ne_bytes(*captured),
            reason: *reason,
            plane: *plane,
            frame: *<&[u8; SNAP]>::try_from(rest).ok()?,
        })
    }
}

/// What one CPU keeps of its sampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sampler {
    /// When this [`WINDOW`] began.
    pub began: u64,
    /// Offered in it.
    pub offered: u64,
    /// Taken in it.
    pub taken: u64,
    /// Of what is offered one in `1 << shift` is taken.
    pub shift: u64,
    /// Events written so far.
    pub written: u64,
    /// Events lost because the ring was full.
    pub full: u64,
    /// Events lost because there were more than the budget, until the shift had followed.
    pub over: u64,
}

impl Sampler {
    /// One more is offered: how many such it stands for, if it is taken.
    #[inline(always)]
    pub fn take(&mut self, now: u64, budget: u32) -> Option<u32> {
        let passed = now.wrapping_sub(self.began);
        if passed >= WINDOW {
            self.follow(passed, budget);
            self.began = now;
            (self.offered, self.taken) = (0, 0);
        }
        self.offered += 1;
        let stride = 1_u32 << (self.shift as u32 & 31);
        if self.offered as u32 & (stride - 1) != 0 {
            return None;
        }
        if self.taken >= budget as u64 {
            self.over += 1;
            return None;
        }
        self.taken += 1;
        Some(stride)
    }

    /// Takes fewer where there were too many, and more where there is room for four times as many.
    #[inline(always)]
    fn follow(&mut self, passed: u64, budget: u32) {
        let room = (budget as u64) << (self.shift as u32 & 31);
        if passed >= PAUSE {
            self.shift = 0;
        } else if self.offered > room {
            self.shift += (self.shift < MAX_SHIFT as u64) as u64;
        } else if self.offered < room >> 2 {
            self.shift = self.shift.saturating_sub(1);
        }
    }
}

const _: () = {
    assert!(size_of::<Event>() == 24 + SNAP);
    assert!(size_of::<Sampler>() == 56);
    assert!(RING.is_power_of_two());
};

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Offers at that rate for so many seconds: events, what they stand for, offers.
    fn feed(sampler: &mut Sampler, start: u64, rate: u64, seconds: u64) -> (u64, u64, u64) {
        let (mut events, mut weight) = (0, 0);
        for i in 0..rate * seconds {
            // As the kernel's clock does, it goes by ticks of 4 ms.
            let now = (start + i * SECOND / rate) / 4_000_000 * 4_000_000;
            if let Some(stands_for) = sampler.take(now, 20) {
                events += 1;
                weight += u64::from(stands_for);
            }
        }
        (events, weight, rate * seconds)
    }

    #[test]
    fn within_the_budget_everything_is_taken() {
        let mut sampler = Sampler::default();
        assert_eq!(feed(&mut sampler, SECOND, 1000, 3), (3000, 3000, 3000));
        assert_eq!((sampler.over, sampler.shift), (0, 0));
    }

    #[test]
    fn above_it_weights_make_up_for_what_is_left_out() {
        let mut sampler = Sampler::default();
        feed(&mut sampler, SECOND, 150_000, 1);
        let lost = sampler.over;
        let (events, weight, offered) = feed(&mut sampler, 2 * SECOND, 150_000, 4);
        assert!(events <= 4 * SECOND / WINDOW * 20, "{events} in 4 s, 20 in each 10 ms");
        assert!(weight.abs_diff(offered) < offered / 50, "{weight} of {offered}");
        assert_eq!(sampler.over, lost, "it has found its stride");
        // And back.
        let (events, weight, offered) = feed(&mut sampler, 6 * SECOND, 500, 2);
        assert!(sampler.shift == 0 && events > 900 && weight.abs_diff(offered) < 100, "{events} {weight}");
    }

    #[test]
    fn what_is_over_the_budget_is_counted() {
        let mut sampler = Sampler::default();
        let taken = (0..1000).filter(|_| sampler.take(SECOND, 20).is_some()).count();
        assert_eq!((taken, sampler.over), (20, 980));
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let mut bytes = [0; size_of::<Event>()];
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&64_u32.to_ne_bytes());
        bytes[20..22].copy_from_slice(&60_u16.to_ne_bytes());
        (bytes[22], bytes[23], bytes[24]) = (56, 1, 9);
        let event = Event::read(&bytes).unwrap();
        assert_eq!((event.time, event.weight, event.captured), (7, 64, 60));
        assert_eq!((event.reason, event.plane, event.frame[0]), (56, 1, 9));
        assert!(Event::read(&bytes[1..]).is_none() && Event::read(&[0; 200]).is_none());
    }

    #[test]
    fn a_pause_forgets() {
        let mut sampler = Sampler { began: SECOND, shift: 9, ..Sampler::default() };
        assert_eq!(sampler.take(3 * SECOND, 20), Some(1));
    }
}

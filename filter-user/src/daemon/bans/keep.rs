//! Bans in `daemon.state`, for the next boot: the kernel's tables outlive the daemon, but not the kernel.
//!
//! The file `bans` (numbers little-endian):
//! ```text
//! 8   when it was written, seconds since 1970
//! 4   number of reasons; each is a length (1) and so many bytes
//! 8   number of bans; each is
//!     16  address, IPv4 mapped into IPv6
//!     1   length of the prefix in it
//!     1   origin
//!     4   number of its reason
//!     4   seconds since it was made
//!     8   seconds left, all ones for ever
//! ```
//! The file `ban-notes` holds comments and who was banned before, in JSON.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use filter_common::ban::{FOREVER, Origin, REASON_LEN};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::{Note, report::Shown};
use crate::{dataplane::Banned, store::Folder};

const BANS: &str = "bans";
const NOTES: &str = "ban-notes";
const RECORD: usize = 34;
/// 1,114,112 bans, each with a reason of its own.
const LARGEST: u64 = 80 << 20;
const LARGEST_NOTES: u64 = 32 << 20;

/// Shortest time between two writings, and bans that may lengthen it by a second: a million are written each minute at most.
const PAUSE: Duration = Duration::from_secs(5);
const PER_SECOND: u64 = 20_000;

/// What is kept beside the bans themselves.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Kept {
    /// Comments.
    pub notes: Vec<Note>,
    /// Who was banned before: prefix, level, when.
    pub offenders: Vec<(IpNet, u32, u64)>,
}

/// Writes bans as they are visited.
pub struct Writer {
    now: u64,
    wall: u64,
    reasons: HashMap<[u8; REASON_LEN], u32>,
    names: Vec<u8>,
    records: Vec<u8>,
}

impl Writer {
    /// At `now` (`CLOCK_MONOTONIC`, nanoseconds) and `wall` (seconds since 1970).
    #[must_use]
    pub fn new(now: u64, wall: u64) -> Self {
        Self { now, wall, reasons: HashMap::new(), names: Vec::new(), records: Vec::new() }
    }

    /// One more.
    pub fn push(&mut self, banned: &Banned) {
        let ban = &banned.ban;
        let next = self.reasons.len() as u32;
        let reason = *self.reasons.entry(ban.reason).or_insert_with(|| {
            let length = ban.reason.iter().position(|byte| *byte == 0).unwrap_or(REASON_LEN);
            self.names.push(length as u8);
            self.names.extend(&ban.reason[..length]);
            next
        });
        let address = match banned.prefix.network() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let age = (self.now / 1_000_000_000).saturating_sub(ban.since.into()) as u32;
        let left = if ban.own == FOREVER {
            u64::MAX
        } else {
            ban.own.saturating_sub(self.now).div_ceil(1_000_000_000)
        };
        self.records.extend(address.octets());
        self.records.extend([banned.prefix.prefix_len(), ban.origin as u8]);
        self.records.extend(reason.to_le_bytes());
        self.records.extend(age.to_le_bytes());
        self.records.extend(left.to_le_bytes());
    }

    /// The file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let count = (self.records.len() / RECORD) as u64;
        let head = [&self.wall.to_le_bytes()[..], &(self.reasons.len() as u32).to_le_bytes()].concat();
        [&head[..], &self.names, &count.to_le_bytes(), &self.records].concat()
    }
}

/// The bans of a file that have not ended by `wall`.
pub(super) fn read(bytes: &[u8], wall: u64) -> Result<Vec<Shown>, &'static str> {
    let mut reader = Reader(bytes);
    let passed = wall.saturating_sub(reader.number(8)?);
    let reasons = (0..reader.number(4)?).map(|_| {
        let length = reader.number(1)?;
        let text = reader.take(usize::try_from(length).map_err(|_| CUT)?)?;
        String::from_utf8(text.to_vec()).map_err(|_| "a reason is no UTF-8")
    });
    let reasons = reasons.collect::<Result<Vec<_>, _>>()?;
    let count = usize::try_from(reader.number(8)?).map_err(|_| CUT)?;
    if count.checked_mul(RECORD) != Some(reader.0.len()) {
        return Err("another number of bans than it says");
    }
    let mut bans = Vec::with_capacity(count);
    for _ in 0..count {
        bans.extend(record(&mut reader, &reasons, passed)?);
    }
    Ok(bans)
}

const CUT: &str = "it is cut";

fn record(reader: &mut Reader<'_>, reasons: &[String], passed: u64) -> Result<Option<Shown>, &'static str> {
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(reader.take(16)?).map_err(|_| CUT)?);
    let length = reader.number(1)? as u8;
    let origin = Origin::of(reader.number(1)? as u32);
    let reason = usize::try_from(reader.number(4)?).ok().and_then(|number| reasons.get(number));
    let (age, left) = (reader.number(4)?, reader.number(8)?);
    let address = address.to_ipv4_mapped().map_or(IpAddr::from(address), IpAddr::from);
    let prefix = IpNet::new(address, length).map_err(|_| "a prefix that is too long")?;
    let left = (left != u64::MAX).then(|| left.saturating_sub(passed));
    Ok((left != Some(0)).then(|| Shown {
        prefix,
        since_seconds: age.saturating_add(passed),
        seconds_left: left,
        origin: origin.label().into(),
        reason: reason.cloned().unwrap_or_default(),
        comment: String::new(),
    }))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, length: usize) -> Result<u64, &'static str> {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(self.take(length)?);
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Keeps them on the disk, not more often than it must.
#[derive(Debug)]
pub struct Keeper {
    folder: Option<Folder>,
    /// How many changes there had been when they were written.
    written: u64,
    at: Option<Instant>,
    complained: bool,
}

impl Keeper {
    /// In `daemon.state`, if that can be used; the ledger has said why not.
    #[must_use]
    pub fn open(state: &Path) -> Self {
        Self { folder: Folder::open(state).ok(), written: 0, at: None, complained: false }
    }

    /// What was kept; what is damaged is put aside.
    pub fn load(&mut self, wall: u64) -> (Vec<Shown>, Kept) {
        let Some(folder) = &mut self.folder else { return Default::default() };
        let bans = folder.read_with(BANS, LARGEST, |bytes| read(bytes, wall)).map(Option::unwrap_or_default);
        let kept = folder.read(NOTES, LARGEST_NOTES).map(Option::unwrap_or_default);
        let failed = |problem: &anyhow::Error| error!("cannot read the bans of before: {problem:#}");
        let bans = bans.inspect_err(failed).unwrap_or_default();
        (bans, kept.inspect_err(failed).unwrap_or_default())
    }

    /// Whether it is time to write, with that many changes and bans.
    #[must_use]
    pub fn is_due(&self, changes: u64, bans: u64) -> bool {
        let pause = PAUSE + Duration::from_secs(bans / PER_SECOND);
        self.is_behind(changes) && self.at.is_none_or(|at| at.elapsed() >= pause)
    }

    /// Whether something has changed since.
    #[must_use]
    pub const fn is_behind(&self, changes: u64) -> bool {
        changes != self.written && self.folder.is_some()
    }

    /// Whether there is a place for them.
    #[must_use]
    pub const fn can_write(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether what was there after so many changes is on the disk.
    #[must_use]
    pub const fn has_written(&self, changes: u64) -> bool {
        self.written >= changes
    }

    /// Writes all of it.
    pub fn write(&mut self, changes: u64, bans: &[u8], kept: &Kept) {
        let Some(folder) = &self.folder else { return };
        let written = folder.write_bytes(BANS, bans).and_then(|()| folder.write(NOTES, kept));
        self.at = Some(Instant::now());
        match written {
            Ok(()) => (self.written, self.complained) = (changes, false),
            Err(problem) if !self.complained => {
                error!("bans would not survive a boot: {problem:#}");
                self.complained = true;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use filter_common::ban::Ban;
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn banned(prefix: &str, own: u64, since: u32, reason: &[u8]) -> Banned {
        let mut ban = Ban { until: own, own, since, origin: 1, ..Ban::default() };
        ban.reason[..reason.len()].copy_from_slice(reason);
        Banned { prefix: prefix.parse().unwrap(), ban }
    }

    fn file() -> Vec<u8> {
        let mut writer = Writer::new(1000 * SECOND, 50_000);
        writer.push(&banned("9.9.9.9/32", 1100 * SECOND, 900, b"scanner"));
        writer.push(&banned("9.9.0.0/16", FOREVER, 900, b""));
        writer.push(&banned("2620:fe::/64", 1010 * SECOND - 1, 999, b"scanner"));
        writer.finish()
    }

    #[test]
    fn they_come_back_with_the_time_they_have_left() {
        let bytes = file();
        assert_eq!(bytes.len(), 8 + 4 + 8 + 1 + 8 + 3 * RECORD, "each reason once");
        let bans = read(&bytes, 50_007).unwrap();
        let told: Vec<_> =
            bans.iter().map(|ban| (ban.prefix.to_string(), ban.since_seconds, ban.seconds_left)).collect();
        assert_eq!(
            told,
            [
                ("9.9.9.9/32".to_owned(), 107, Some(93)),
                ("9.9.0.0/16".to_owned(), 107, None),
                ("2620:fe::/64".to_owned(), 8, Some(3)),
            ]
        );
        assert_eq!((&*bans[0].reason, &*bans[1].reason, &*bans[0].origin), ("scanner", "", "detector"));
        assert_eq!(read(&bytes, 50_010).unwrap().len(), 2, "one has ended meanwhile");
        assert_eq!(read(&bytes, 7).unwrap()[0].seconds_left, Some(100), "a clock in 1970 ends nothing");
    }

    #[test]
    fn what_is_cut_is_no_file() {
        let bytes = file();
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], 0).is_err(), "{length}");
        }
        assert!(read(&[&bytes[..], &[0]].concat(), 0).is_err());
    }

    proptest! {
        #[test]
        fn nonsense_is_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..128, value: u8
        ) {
            let _ = read(&bytes, 50_000);
            let mut bytes = file();
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = read(&bytes, 50_000);
        }
    }

    #[test]
    fn they_are_written_now_and_then_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut keeper = Keeper::open(&state);
        assert!(!keeper.is_due(0, 0) && keeper.is_due(1, 0), "at once the first time");
        keeper.write(1, &file(), &Kept::default());
        assert!(!keeper.is_behind(1) && keeper.is_behind(2) && !keeper.is_due(2, 0));
        assert!(keeper.has_written(1) && !keeper.has_written(2));
        keeper.at = Instant::now().checked_sub(Duration::from_secs(6));
        assert!(keeper.is_due(2, 10_000) && !keeper.is_due(2, 1_000_000));
        let (bans, _) = Keeper::open(&state).load(50_000);
        assert_eq!(bans.len(), 3);
        std::fs::write(state.join(BANS), b"nonsense").unwrap();
        assert!(Keeper::open(&state).load(50_000).0.is_empty());
        let aside = Folder::existing(&state).unwrap().aside().unwrap();
        assert_eq!(aside, ["bans.quarantined-1"]);
    }
}

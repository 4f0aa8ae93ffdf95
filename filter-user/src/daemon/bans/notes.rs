//! What there is to say about bans beyond what the kernel's tables hold.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::source::printable;

/// Bytes of a comment.
pub const LONGEST: usize = 200;
/// Bans with a note.
const MOST: usize = 10_000;

/// About one ban.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Note {
    /// Which.
    pub prefix: IpNet,
    /// Whose request it was.
    pub uid: u32,
    /// What he had to say.
    pub comment: String,
}

/// Those of all bans that were commented on.
#[derive(Clone, Debug, Default)]
pub struct Notes(BTreeMap<IpNet, Note>);

impl Notes {
    /// Takes a note; returns whether there is room for it.
    pub fn take(&mut self, prefix: IpNet, uid: u32, comment: &str) -> bool {
        let fits = comment.is_empty() || self.0.len() < MOST || self.0.contains_key(&prefix);
        if comment.is_empty() || !fits {
            self.0.remove(&prefix);
        } else {
            self.0.insert(prefix, Note { prefix, uid, comment: printable(comment) });
        }
        fits
    }

    /// The comment on a ban.
    #[must_use]
    pub fn comment(&self, prefix: &IpNet) -> &str {
        self.0.get(prefix).map_or("", |note| &note.comment)
    }

    /// Forgets those of bans that are no more.
    pub fn keep(&mut self, is_banned: impl Fn(&IpNet) -> bool) {
        self.0.retain(|prefix, _| is_banned(prefix));
    }

    /// Forgets those of bans in that prefix, or with `dry_run` only counts them.
    pub fn forget(&mut self, of: &IpNet, dry_run: bool) -> u64 {
        let found = self.0.keys().filter(|prefix| of.contains(*prefix)).count();
        self.0.retain(|prefix, _| dry_run || !of.contains(prefix));
        found as u64
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Note> {
        self.0.values().cloned().collect()
    }

    /// Those that were kept.
    #[must_use]
    pub fn of(notes: Vec<Note>) -> Self {
        Self(notes.into_iter().take(MOST).map(|note| (note.prefix, note)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_number_is_bounded() {
        let mut notes = Notes::default();
        let net =
            |i: usize| IpNet::new(std::net::Ipv4Addr::from_bits(0x0900_0000 + i as u32).into(), 32).unwrap();
        assert!((0..MOST).all(|i| notes.take(net(i), 0, "a\x1b")));
        assert!(!notes.take(net(MOST), 0, "x") && notes.take(net(MOST), 0, "") && notes.take(net(1), 5, "y"));
        assert_eq!(
            (notes.comment(&net(0)), notes.comment(&net(1)), notes.comment(&net(MOST))),
            ("a\u{fffd}", "y", "")
        );
        notes.keep(|prefix| *prefix == net(1));
        assert_eq!(notes.all(), [Note { prefix: net(1), uid: 5, comment: "y".to_owned() }]);
        let within = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(notes.forget(&within("9.0.0.0/32"), false), 0);
        assert_eq!((notes.forget(&within("9.0.0.0/24"), true), notes.all().len()), (1, 1));
        assert!(notes.forget(&within("9.0.0.1/32"), false) == 1 && notes.is_empty());
        assert!(notes.take(net(1), 0, "x") && notes.take(net(1), 0, "") && notes.is_empty());
    }
}

//! What incidents keep of somebody who is to be forgotten.

use std::{cell::Cell, collections::HashSet, net::IpAddr};

use anyhow::Result;
use ipnet::IpNet;

use super::{Incident, Privacy};
use crate::{
    config::schema::Addresses,
    daemon::{detect::Heavy, events::Line, forget::Subject, notify::notice},
    detect::attack::{named, prefix, without},
};

/// Lengths of prefixes that pseudonyms are of: sources, as bans take them, and their networks.
const LENGTHS: [(bool, &[u8]); 2] = [(false, &[24, 32]), (true, &[48, 64, 128])];

/// Who is to be forgotten, as incidents may have kept him.
#[derive(Debug)]
pub(in crate::daemon) struct Wanted {
    net: IpNet,
    pseudonyms: HashSet<IpAddr>,
    /// There may be pseudonyms of his that nobody can find.
    pub(in crate::daemon) is_incomplete: bool,
    /// Entries that name a network that he is in, with others.
    pub(in crate::daemon) wider: Cell<u64>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Cut {
    /// Samples, prefixes, proven ones, acts.
    pub(in crate::daemon) entries: u64,
    /// The incidents that had any.
    pub(in crate::daemon) incidents: u64,
}

impl Wanted {
    /// `known` are the pseudonyms that there are. Nobody can turn them round: those of all who it may be are tried, as far as they are
    /// few enough. If there are none, nobody asks for the key.
    pub(in crate::daemon) fn new(
        subject: &Subject,
        known: &HashSet<IpAddr>,
        key: impl FnOnce() -> Result<Option<Privacy>>,
    ) -> Result<Self> {
        let mut wanted =
            Self { net: subject.net, pseudonyms: HashSet::new(), is_incomplete: false, wider: Cell::new(0) };
        let privacy = if known.is_empty() { None } else { key()? };
        let Some(privacy) = privacy else { return Ok(wanted) };
        let is_v6 = subject.net.addr().is_ipv6();
        for length in LENGTHS.iter().filter(|(v6, _)| *v6 == is_v6).flat_map(|(_, lengths)| *lengths) {
            let parts = subject.parts(*length);
            wanted.is_incomplete |= !parts.is_all;
            let pseudonyms = parts.nets.map(|part| privacy.net(part).addr());
            wanted.pseudonyms.extend(pseudonyms.filter(|pseudonym| known.contains(pseudonym)));
        }
        Ok(wanted)
    }

    /// Whether that is part of him, as it is kept with these `addresses`.
    fn is(&self, addresses: Addresses, who: &IpNet) -> bool {
        match addresses {
            Addresses::Pseudonym => self.pseudonyms.contains(&who.addr()),
            Addresses::Truncated | Addresses::Full => {
                let is_he = self.net.contains(who);
                self.wider.set(self.wider.get() + u64::from(!is_he && who.contains(&self.net)));
                is_he
            }
        }
    }

    /// Takes his packets out.
    pub(in crate::daemon) fn cut_samples(&self, samples: &mut Vec<Line>, addresses: Addresses) -> u64 {
        let before = samples.len();
        samples.retain(|line| !source(line, addresses).is_some_and(|who| self.is(addresses, &who)));
        (before - samples.len()) as u64
    }

    fn cut_list(&self, list: &mut Vec<Heavy<IpNet>>, addresses: Addresses) -> u64 {
        let before = list.len();
        list.retain(|heavy| !self.is(addresses, &heavy.who));
        (before - list.len()) as u64
    }

    /// Takes him out of what is to be told of an attack.
    pub(in crate::daemon) fn cut_told(&self, attack: &mut notice::Attack) -> u64 {
        let addresses = attack.addresses;
        let mut count = self.cut_list(&mut attack.prefixes, addresses);
        for act in &mut attack.acts {
            let Some(what) = without(act, |who| self.is(addresses, who)) else { continue };
            (*act, count) = (what, count + 1);
        }
        count
    }

    /// Takes him out; how many entries that were.
    pub(in crate::daemon) fn cut(&self, incident: &mut Incident) -> u64 {
        let addresses = incident.addresses;
        let mut count = self.cut_samples(&mut incident.samples, addresses);
        for list in [&mut incident.prefixes, &mut incident.proven, &mut incident.heavy] {
            count += self.cut_list(list, addresses);
        }
        for act in &mut incident.attack.acts {
            let Some(what) = without(&act.what, |who| self.is(addresses, who)) else { continue };
            (act.what, count) = (what, count + 1);
        }
        count
    }
}

/// What is kept of a packet's source. Where addresses are truncated it is a network, written as its first address.
fn source(line: &Line, addresses: Addresses) -> Option<IpNet> {
    let source = line.packet.as_ref()?.source;
    Some(if addresses == Addresses::Truncated { prefix(source) } else { source.into() })
}

/// The pseudonyms among packets' sources.
pub(in crate::daemon) fn pseudonyms(samples: &[Line], addresses: Addresses, to: &mut HashSet<IpAddr>) {
    if addresses == Addresses::Pseudonym {
        to.extend(samples.iter().filter_map(|line| source(line, addresses)).map(|who| who.addr()));
    }
}

impl Incident {
    /// The pseudonyms in it.
    pub(in crate::daemon) fn pseudonyms(&self, to: &mut HashSet<IpAddr>) {
        if self.addresses != Addresses::Pseudonym {
            return;
        }
        pseudonyms(&self.samples, self.addresses, to);
        to.extend(self.prefixes.iter().chain(&self.proven).chain(&self.heavy).map(|heavy| heavy.who.addr()));
        to.extend(self.attack.acts.iter().flat_map(|act| named(&act.what)).map(|who| who.addr()));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{
        super::{form::tests::incident, shelf::Shelf},
        *,
    };
    use crate::config::lists::file;

    const ACT: &str = "banned 192.31.196.9/32 for 600 s: auto/syn#7";

    /// An attack of 192.31.196.9, .10 and 2620:4f:8000:1::9, as it is kept.
    fn kept(number: u64, addresses: Addresses, privacy: &Privacy) -> Incident {
        let heavy = |who: &str| Heavy { who: privacy.net(who.parse().unwrap()), packets: 9, at_least: 9 };
        let mut kept = incident(100, number);
        let sample = |source: &str| {
            let mut line = kept.samples[0].clone();
            line.packet.as_mut().unwrap().source = privacy.address(source.parse().unwrap());
            line
        };
        kept.samples = ["192.31.196.9", "192.31.196.10", "2620:4f:8000:1::9"].map(sample).to_vec();
        kept.prefixes = ["192.31.196.0/24", "2620:4f:8000::/48"].map(heavy).to_vec();
        kept.proven = ["192.31.196.9/32", "192.31.196.10/32", "2620:4f:8000:1::/64"].map(heavy).to_vec();
        kept.heavy = vec![heavy("192.31.196.9/32")];
        kept.attack.acts[0].what = privacy.text(ACT);
        Incident { addresses, ..kept }
    }

    fn wanted(shelf: &mut Shelf, whom: &str, key: Option<Privacy>) -> Wanted {
        let subject = Subject::new(file::prefix(whom).unwrap()).unwrap();
        Wanted::new(&subject, &shelf.pseudonyms().unwrap(), || Ok(key)).unwrap()
    }

    /// Everything that lies in the folder.
    fn on_disk(state: &Path) -> String {
        let files = std::fs::read_dir(state.join(super::super::INCIDENTS)).unwrap();
        let bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// What `forget` counts, and how many samples, prefixes and proven ones it leaves.
    fn left(addresses: Addresses, whom: &str) -> (u64, [usize; 3], bool) {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        let privacy = Privacy::new(addresses, &state).unwrap();
        let mut shelf = Shelf::open(&state).0;
        let before = kept(1, addresses, &privacy);
        shelf.put(&before).unwrap();
        shelf.put(&kept(2, addresses, &privacy)).unwrap();
        let wanted = wanted(&mut shelf, whom, Some(privacy));
        let told = on_disk(&state);
        let cut = shelf.forget(&wanted, true).unwrap();
        assert_eq!(on_disk(&state), told, "only told");
        assert_eq!((shelf.forget(&wanted, false).unwrap(), cut.entries % 2), (cut, 0));
        assert_eq!(cut.incidents, if cut.entries > 0 { 2 } else { 0 });
        assert_eq!(shelf.forget(&wanted, false).unwrap(), Cut::default(), "once");
        let after = Shelf::open(&state).0.get(&before.id).unwrap().unwrap();
        assert_eq!(after.timeline, before.timeline, "the rest is as it was");
        let left = [after.samples.len(), after.prefixes.len(), after.proven.len()];
        (cut.entries / 2, left, wanted.is_incomplete)
    }

    #[test]
    fn what_is_to_be_told_is_told_without_him() {
        let incident = kept(1, Addresses::Full, &Privacy::Full);
        let mut told = notice::Notice::new(notice::Event::Began, &incident, "edge", 1).attack.unwrap();
        let wanted = |whom: &str| {
            let subject = Subject::new(file::prefix(whom).unwrap()).unwrap();
            Wanted::new(&subject, &HashSet::new(), || Ok(None)).unwrap()
        };
        assert_eq!(wanted("44.0.0.0/8").cut_told(&mut told), 0);
        assert_eq!(wanted("192.31.196.0/24").cut_told(&mut told), 2);
        let text = serde_json::to_string(&told).unwrap();
        assert!(!text.contains("192.31.196") && text.contains("(forgotten) for 600 s"), "{text}");
    }

    #[test]
    fn whole_addresses_go_and_their_networks_stay() {
        let full = |whom| left(Addresses::Full, whom);
        assert_eq!(full("192.31.196.9"), (4, [2, 2, 2], false));
        assert_eq!(full("192.31.196.0/24"), (7, [1, 1, 1], false));
        assert_eq!(full("2620:4f:8000:1::77"), (2, [2, 2, 2], false), "his /64 is he");
        assert_eq!(full("2620:4f:8000::/48"), (3, [2, 1, 2], false));
        assert_eq!(full("192.31.197.0/24"), (0, [3, 2, 3], false));
    }

    #[test]
    fn whoever_cannot_be_told_apart_stays() {
        let truncated = |whom| left(Addresses::Truncated, whom);
        for one in ["192.31.196.9", "192.31.196.0", "2620:4f:8000:1::9", "2620:4f:8000::", "192.31.196.0/25"]
        {
            assert_eq!(truncated(one), (0, [3, 2, 3], false), "{one}");
        }
        assert_eq!(truncated("192.31.196.0/24"), (7, [1, 1, 1], false));
        assert_eq!(truncated("192.31.0.0/16"), (7, [1, 1, 1], false));
        assert_eq!(truncated("2620:4f:8000::/48"), (3, [2, 1, 2], false));
    }

    #[test]
    fn pseudonyms_are_found_as_long_as_there_is_their_key() {
        let pseudonym = |whom| left(Addresses::Pseudonym, whom);
        assert_eq!(pseudonym("192.31.196.9"), (4, [2, 2, 2], false));
        assert_eq!(pseudonym("192.31.196.0/24"), (7, [1, 1, 1], false));
        assert_eq!(pseudonym("192.31.0.0/16"), (7, [1, 1, 1], false));
        assert_eq!(pseudonym("44.0.0.0/16"), (0, [3, 2, 3], false));
        assert_eq!(
            pseudonym("2620:4f:8000:1::9"),
            (2, [2, 2, 2], true),
            "others of its /64 are too many to try"
        );
        assert_eq!(
            pseudonym("2620:4f:8000::/48"),
            (2, [3, 1, 2], true),
            "a packet's source is one of too many"
        );
        let parent = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| parent.path().join(name));
        let [first, second] = [&one, &other].map(|state| Privacy::new(Addresses::Pseudonym, state).unwrap());
        let mut shelf = Shelf::open(&one).0;
        shelf.put(&kept(1, Addresses::Pseudonym, &first)).unwrap();
        for (privacy, found) in [(None, 0), (Some(second), 0), (Some(first), 4)] {
            let wanted = wanted(&mut shelf, "192.31.196.9", privacy);
            assert_eq!(shelf.forget(&wanted, false).unwrap().entries, found);
        }
        assert!(Privacy::of_before(&parent.path().join("none")).is_err());
        std::fs::remove_file(one.join("pseudonym-key")).unwrap();
        assert!(Privacy::of_before(&one).unwrap().is_none() && Privacy::of_before(&other).unwrap().is_some());
        assert!(!one.join("pseudonym-key").exists(), "none is made");
    }

    /// Addresses were kept otherwise before: each incident says how its own are.
    #[test]
    fn incidents_of_all_kinds_lie_side_by_side() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        let key = Privacy::new(Addresses::Pseudonym, &state).unwrap();
        let mut shelf = Shelf::open(&state).0;
        shelf.put(&kept(1, Addresses::Full, &Privacy::Full)).unwrap();
        shelf.put(&kept(2, Addresses::Pseudonym, &key)).unwrap();
        shelf.put(&kept(3, Addresses::Truncated, &Privacy::Truncated)).unwrap();
        let damaged = kept(4, Addresses::Full, &Privacy::Full);
        shelf.put(&damaged).unwrap();
        let path = state.join(super::super::INCIDENTS).join(format!("incident-{}", damaged.id));
        std::fs::write(&path, b"nonsense").unwrap();
        let wanted = wanted(&mut shelf, "192.31.196.9", Some(key));
        assert_eq!(shelf.forget(&wanted, false).unwrap(), Cut { entries: 8, incidents: 2 });
        let (text, pseudonym) = (on_disk(&state), key.net("192.31.196.9/32".parse().unwrap()).addr());
        assert!(!text.contains("192.31.196.9") && !text.contains(&pseudonym.to_string()), "{text}");
        assert!(text.contains("192.31.196.10") && text.contains("192.31.196.0/24"), "{text}");
        assert!(!path.exists() && text.contains("nonsense"), "a damaged one is put aside");
    }
}

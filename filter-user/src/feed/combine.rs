//! Lists and feeds together: what the data path gets.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use super::{
    Good,
    entries::Ranges,
    spared::{spared, touched},
};
use crate::{
    config::{
        Host, Settings,
        lists::{MOST_V4, MOST_V6, with_more},
        schema,
    },
    dataplane::plan::{Fed, Lists},
};

/// One feed's part.
#[derive(Clone)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its last good copy.
    pub good: Good,
}

/// What the daemon adds to the lists.
#[derive(Clone, Default)]
pub struct Feeds {
    /// Their last good copies.
    pub parts: Vec<Part>,
    /// Who has to get through as well: gateways, resolvers.
    pub spared: Vec<IpAddr>,
    /// Who is let through for a while, beside `lists.allow`.
    pub allowed: Vec<IpNet>,
    /// What was made of them the last time.
    pub last: Option<Arc<Lists>>,
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeds").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

/// Of which feed a copy is: its name and where it is from.
#[must_use]
pub fn origin(feed: &schema::Feed) -> String {
    let hash = Sha256::digest(feed.source.as_ref().to_string());
    hash.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Feeds {
    /// The copy of that feed, if there is one from that source.
    #[must_use]
    pub fn good(&self, feed: &schema::Feed) -> Option<&Good> {
        let part = self.parts.iter().find(|part| part.name == *feed.name.as_ref())?;
        (part.good.about.origin == origin(feed)).then_some(&part.good)
    }

    /// Takes a new copy.
    pub fn put(&mut self, name: &str, good: Good) {
        self.parts.retain(|part| part.name != name);
        self.parts.push(Part { name: name.to_owned(), good });
    }

    /// The lists with what the settings' feeds add to them, and who is let through.
    #[must_use]
    pub fn combined(&self, settings: &Settings, host: &Host, written: &Arc<Lists>) -> Arc<Lists> {
        let wanted = settings.feed.iter().filter(|feed| feed.enabled);
        let parts: Vec<(&str, &Good)> =
            wanted.filter_map(|feed| Some((feed.name.as_ref().as_str(), self.good(feed)?))).collect();
        if parts.is_empty() && self.allowed.is_empty() {
            return written.clone();
        }
        let spared = spared(settings, host, &self.spared);
        let key = key(written, &parts, &spared, &self.allowed);
        if let Some(last) = self.last.as_ref().filter(|last| last.made_of == key) {
            return last.clone();
        }
        let mut lists = add(written, &parts, spared, &self.allowed);
        lists.made_of = key;
        Arc::new(lists)
    }
}

/// What the result depends on.
fn key(written: &Lists, parts: &[(&str, &Good)], spared: &Ranges, allowed: &[IpNet]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(written.digest);
    for (name, good) in parts {
        hash.update(format!("{name} {:x} {:?}\n", good.packed.id(), good.packed.counts()));
    }
    hash.update(format!("{spared:?} {allowed:?}"));
    hash.finalize().into()
}

fn add(written: &Arc<Lists>, parts: &[(&str, &Good)], spared: Ranges, allowed: &[IpNet]) -> Lists {
    let given = written.prefixes;
    let mut room = [MOST_V4 as u64, MOST_V6 as u64];
    room[0] = room[0].saturating_sub(given[0].v4 + given[1].v4);
    room[1] = room[1].saturating_sub(given[0].v6 + given[1].v6);
    let (mut all, mut fed) = (Ranges::default(), Vec::new());
    for (name, good) in parts {
        let [v4, v6] = good.packed.counts();
        let left_out = v4 > room[0] || v6 > room[1];
        let mut cut = 0;
        if !left_out {
            room = [room[0] - v4, room[1] - v6];
            cut = touched(good.packed.v4(), good.packed.v6(), &spared);
            all.v4.extend(good.packed.v4());
            all.v6.extend(good.packed.v6());
        }
        fed.push(Fed { name: (*name).to_owned(), id: good.packed.id(), cut, left_out });
    }
    let mut lists = with_more(written, allowed, all.without(spared));
    lists.fed = fed;
    lists
}

/// Whether the lists were made with this copy.
#[must_use]
pub fn in_force(lists: &Lists, name: &str, good: &Good) -> bool {
    lists.fed.iter().any(|fed| fed.name == name && !fed.left_out && fed.id == good.packed.id())
}

//! Who is at the other end of the control socket, and what they may do.

use std::{
    collections::HashMap,
    io,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use nix::unistd::{Gid, Group, geteuid};
use serde::Serialize;
use tokio::net::UnixStream;

use crate::{config::schema, sys};

/// What somebody may do; each includes the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Nothing.
    #[default]
    None,
    /// See what the filter does.
    Look,
    /// Change what it does.
    Change,
}

/// Which groups have which right; root and the daemon's own user have both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    look: Option<Gid>,
    change: Option<Gid>,
}

impl Access {
    /// As the configuration says.
    pub fn new(daemon: &schema::Daemon) -> anyhow::Result<Self> {
        let find = |name: Option<&String>| name.map(|name| group(name)).transpose();
        Ok(Self {
            look: find(daemon.group.as_ref().map(toml::Spanned::as_ref))?,
            change: find(daemon.admin_group.as_ref().map(toml::Spanned::as_ref))?,
        })
    }

    /// The group of the socket and its folder: who is in neither can't even connect.
    #[must_use]
    pub fn socket_group(&self) -> Option<Gid> {
        self.look.or(self.change)
    }

    fn right(&self, uid: u32, groups: &[u32]) -> Right {
        let member = |group: Option<Gid>| group.is_some_and(|group| groups.contains(&group.as_raw()));
        if is_own(uid) || member(self.change) {
            Right::Change
        } else if member(self.look) {
            Right::Look
        } else {
            Right::None
        }
    }

    /// Whom the kernel names: as of when they connected, so that nobody can be exchanged meanwhile.
    pub fn peer(&self, stream: &UnixStream) -> io::Result<Peer> {
        let credentials = stream.peer_cred()?;
        let mut groups = sys::peer_groups(stream.as_fd())?;
        groups.push(credentials.gid());
        let uid = credentials.uid();
        Ok(Peer { uid, right: self.right(uid, &groups) })
    }
}

/// A group by its name or number.
pub fn group(name: &str) -> anyhow::Result<Gid> {
    if let Some(group) = Group::from_name(name).context("the group database")? {
        return Ok(group.gid);
    }
    let number = name.parse().map(Gid::from_raw);
    number.map_err(|_| anyhow::anyhow!("no group {name:?} on this host"))
}

/// Root, or our own user.
pub(super) fn is_own(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// The user at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its user id (`SO_PEERCRED`).
    pub uid: u32,
    /// What it may do.
    pub right: Right,
}

/// Connections at a time, and how many of them users other than root and our own can have: each, and all.
const PLACES: usize = 32;
const OF_ONE: usize = 8;
const OF_OTHERS: usize = 24;

/// Who has how many connections.
#[derive(Debug, Default)]
pub struct Places(Mutex<HashMap<u32, usize>>);

/// A place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    uid: u32,
}

impl Places {
    /// A place for that user, if there is one.
    #[must_use]
    pub fn take(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = is_own(uid);
        let others: usize = taken.iter().filter(|(uid, _)| !is_own(**uid)).map(|(_, count)| count).sum();
        let all: usize = taken.values().sum();
        let count = taken.entry(uid).or_default();
        if all >= PLACES || !own && (others >= OF_OTHERS || *count >= OF_ONE) {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place { places: Arc::clone(self), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_rights_that_they_were_given() {
        let access = Access { look: Some(Gid::from_raw(70)), change: Some(Gid::from_raw(71)) };
        let stranger = geteuid().as_raw() + 1000;
        for (uid, groups, right) in [
            (0, &[][..], Right::Change),
            (geteuid().as_raw(), &[], Right::Change),
            (stranger, &[], Right::None),
            (stranger, &[0, 1, 100], Right::None),
            (stranger, &[5, 70], Right::Look),
            (stranger, &[71], Right::Change),
            (stranger, &[70, 71], Right::Change),
        ] {
            assert_eq!(access.right(uid, groups), right, "{uid} {groups:?}");
        }
        assert_eq!(Access::default().right(stranger, &[0]), Right::None);
        assert_eq!(access.socket_group(), Some(Gid::from_raw(70)));
        assert_eq!(Access { look: None, ..access }.socket_group(), Some(Gid::from_raw(71)));
    }

    #[test]
    fn one_user_cannot_take_all_places() {
        let (places, stranger) = (Arc::new(Places::default()), geteuid().as_raw() + 1000);
        let held: Vec<_> = (0..OF_ONE).map(|_| places.take(stranger).unwrap()).collect();
        assert!(places.take(stranger).is_none());
        let more: Vec<_> = (0..3 * OF_ONE).filter_map(|n| places.take(stranger + 1 + n as u32 % 3)).collect();
        assert_eq!(held.len() + more.len(), OF_OTHERS);
        let own: Vec<_> = (0..PLACES).filter_map(|_| places.take(0)).collect();
        assert_eq!(own.len(), PLACES - OF_OTHERS, "kept for root");
        assert!(places.take(0).is_none());
        drop((held, more, own));
        assert!(places.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_group_is_a_name_or_a_number() {
        assert_eq!(group("root").unwrap(), Gid::from_raw(0));
        assert_eq!(group("61234").unwrap(), Gid::from_raw(61234));
        assert!(group("no-such-group").unwrap_err().to_string().contains("no-such-group"));
    }
}

//! The filters that paths need: the configuration as it is, and with lists, bans or limits that a packet can meet.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use filter_common::config::{Config, Limit, Service, flags};
use ipnet::{IpNet, Ipv4Net};
use toml::Spanned;

use super::{facts::Facts, sources};
use crate::{
    config::{Host, Loaded, fit, lists, schema::SynMode},
    dataplane::plan::{Attach, Lists, Plan},
};

/// Which filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// The configuration; nothing is armed.
    Calm,
    /// The same under a SYN flood.
    Armed,
    /// `syn.mode = "cookie"` wherever it is `"auto"`.
    Always,
    /// The defended service protects a host behind this one.
    Gateway,
    /// No source has more than a packet a minute.
    Tight,
    /// A block list of one prefix.
    BlockOne,
    /// A block list as large as may be.
    BlockMany,
    /// Few bans.
    BanFew,
    /// As many bans as may be.
    BanMany,
}

/// The prefix of [`Scene::BlockOne`].
pub const BLOCKED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(45, 7, 0, 0), 16);
/// Bans of [`Scene::BanFew`].
pub const FEW: u32 = 16;
/// The device that private filters are attached to: no packet ever comes through it.
const DEVICE: &str = "lo";

impl Scene {
    /// Name of its folder.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Armed => "armed",
            Self::Always => "always",
            Self::Gateway => "gateway",
            Self::Tight => "tight",
            Self::BlockOne => "block-one",
            Self::BlockMany => "block-many",
            Self::BanFew => "ban-few",
            Self::BanMany => "ban-many",
        }
    }

    /// How many sources are banned, of as many `entries` as there may be.
    #[must_use]
    pub const fn bans(self, entries: u32) -> u32 {
        match self {
            Self::BanFew => FEW,
            Self::BanMany => entries,
            _ => 0,
        }
    }

    /// The lists instead of the configured ones.
    fn lists(self, entries: u32) -> Option<Lists> {
        match self {
            Self::BlockOne => Some(lists::blocking(&[BLOCKED])),
            Self::BlockMany => Some(lists::blocking(&sources::list(entries))),
            _ => None,
        }
    }

    /// What the data path is to be: the configuration of that interface with what this scene changes, for a device
    /// without traffic.
    ///
    /// Limits are lifted to where no run reaches them: they cost what they cost, and drop nothing.
    pub fn plan(
        self,
        loaded: &Loaded,
        host: &Host,
        interface: &str,
        facts: &Facts,
        entries: u32,
    ) -> Result<Plan> {
        let mut loaded = loaded.clone();
        loaded.settings.interface.retain(|candidate| candidate.name.as_ref() == interface);
        if let Some(lists) = self.lists(entries) {
            loaded.lists = Some(Arc::new(lists));
        }
        for service in &mut loaded.settings.service {
            if self == Self::Always && *service.syn.mode.as_ref() == SynMode::Auto {
                service.syn.mode = Spanned::new(0..0, SynMode::Cookie);
            }
            if self == Self::Gateway && Some(service.name.as_ref()) == facts.defended.as_ref() {
                service.protect.push(Spanned::new(0..0, IpNet::from(IpAddr::from(facts.behind))));
            }
        }
        let (mut plan, _) = fit(&loaded, host)?;
        plan.tables.bans = plan.tables.bans.max(self.bans(entries));
        let only = plan.interfaces.first_mut().context("no interface")?;
        DEVICE.clone_into(&mut only.name);
        // For frames in several buffers the code would be the same.
        (only.attach, only.frags) = (Attach::Generic, false);
        (only.ingress, only.egress) = (None, None);
        only.config.flags &= !(flags::OBSERVE | flags::OBSERVE_SERVICES);
        lift(&mut only.config);
        if self == Self::Tight {
            only.config.services.iter_mut().skip(1).for_each(tighten);
        }
        plan.local.extend([IpAddr::from(facts.v4), IpAddr::from(facts.v6)]);
        plan.local.sort_unstable();
        plan.local.dedup();
        plan.pins = std::path::Path::new(super::jail::PINS).join(self.label());
        Ok(plan)
    }
}

/// No core sends that fast, for that long.
const LIFTED: Limit = Limit { interval: 8, tolerance: 1 << 42 };
/// A packet a minute.
const TIGHT: Limit = Limit { interval: 60_000_000_000, tolerance: 0 };

fn lift(config: &mut Config) {
    for service in &mut config.services {
        [
            &mut service.per_source,
            &mut service.per_source_syn,
            &mut service.per_source_bytes,
            &mut service.per_source_flows,
            &mut service.per_prefix,
            &mut service.total,
            &mut service.total_bytes,
            &mut service.flows,
        ]
        .into_iter()
        .for_each(lift_one);
    }
    [
        &mut config.reply_per_prefix,
        &mut config.reply_total,
        &mut config.stray_on,
        &mut config.proven_syns,
        &mut config.closed_ports,
        &mut config.host_packets,
        &mut config.host_bytes,
    ]
    .into_iter()
    .for_each(lift_one);
}

fn lift_one(limit: &mut Limit) {
    if limit.is_some() {
        *limit = LIFTED;
    }
}

fn tighten(service: &mut Service) {
    service.per_source = TIGHT;
}

#[cfg(test)]
mod tests;

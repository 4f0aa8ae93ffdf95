//! Settings and facts about the host to a [`Plan`]. Pure: the same input gives the same plan.

mod carriers;
mod packets;
mod prefix_words;
mod prefixes;
mod rules;
mod services;
mod tcp;
#[cfg(test)]
mod tests;
mod wire;

use std::{sync::Arc, time::Duration};

use filter_common::{
    config::{self, Config, Limit, MAX_PROTECTED, Summary},
    list::{self, build},
    state::SAMPLE,
};
use ipnet::IpNet;

use super::{
    diagnostic::{Diagnostic, Problems},
    host::{Host, Link},
    lists,
    schema::{
        Action, Detection, HandOver, HostLimits, Interface, Mode, Rates, Service, Settings, Stray, Strays,
        SynData, SynMode,
    },
    value::{ByteRate, Rate},
};
use crate::dataplane::plan::{Attach, InterfacePlan, Lists, NextPlan, Plan, Tables, Words};

pub use self::prefixes::mapped;

/// What the settings come to on this host; complaints go to `problems`, and an error means no plan.
pub fn plan(settings: &Settings, host: &Host, lists: Arc<Lists>, problems: &mut Problems) -> Option<Plan> {
    let management: Vec<IpNet> = settings.management.allow.iter().map(|prefix| *prefix.as_ref()).collect();
    let mut base = base(settings, host, &management, problems);
    base.list_families = list_families(&lists);
    let (interfaces, absent) = carriers::interfaces(settings, host, &base, problems);
    let (local, broadcasts) = (host.local(), host.broadcasts());
    local_fits(settings, local.len() + broadcasts.len(), problems);
    lists::warn_of_own(&settings.lists, &lists, &management, &local, problems);
    let rules = rules::compile(&settings.rule, problems);
    let services = services::compile(settings, problems);
    if problems.any_error() {
        return None;
    }
    Some(Plan {
        pins: settings.daemon.pins.as_ref().clone(),
        forbidden_by: settings.daemon.runtime.as_ref().join(crate::daemon::PANIC),
        interfaces,
        absent,
        replace: false,
        ports: services.ports,
        rules: rules.rules,
        rule_names: settings.rule.iter().map(|rule| rule.name.as_ref().clone()).collect(),
        words: Words {
            rule_sources: rules.sources,
            rule_destinations: rules.destinations,
            service_destinations: services.destinations,
        },
        summary: summary(&management),
        management,
        local,
        broadcasts,
        tables: tables(settings, &lists),
        lists,
    })
}

/// The part of [`Config`] that is the same for all interfaces.
fn base(settings: &Settings, host: &Host, management: &[IpNet], problems: &mut Problems) -> Box<Config> {
    let mut config = Box::new(Config::EMPTY);
    if *settings.daemon.mode.as_ref() == Mode::Observe {
        config.flags |= config::flags::OBSERVE;
    }
    if cookies(settings, host, problems) {
        config.flags |= config::flags::COOKIES;
    }
    config.flags |= policy_flags(settings);
    config.management_families = prefixes::families(management);
    let answers = &settings.cookie.syn_ack;
    config.reply_per_prefix = limit(*answers.per_prefix.as_ref());
    config.reply_total = limit(*answers.total.as_ref());
    config.unknown_acks = limit(*settings.cookie.unknown_ack.as_ref());
    config.unproven = limit(*settings.challenge.unproven.as_ref());
    config.proven_syns = limit(*settings.challenge.per_source_syn.as_ref());
    config.proven = nanoseconds(*settings.challenge.proven.as_ref());
    // A cookie lives until the end of the period after its own.
    config.in_flight = 2 * nanoseconds(*settings.cookie.period.as_ref());
    strays(&mut config, &settings.stray);
    config.wire = packets::policy(settings);
    protect(&mut config, &settings.service, problems);
    wire::base(&mut config, settings, problems);
    for (slot, service) in config.services.iter_mut().skip(1).zip(&settings.service) {
        *slot = policy(service);
    }
    host_limits(&mut config, &settings.host);
    events(&mut config, settings);
    config
}

/// What rules and services need of the data path.
fn policy_flags(settings: &Settings) -> u32 {
    [
        (config::flags::RULES, !settings.rule.is_empty()),
        (
            config::flags::CHALLENGE_RULES,
            settings.rule.iter().any(|r| *r.action.as_ref() == Action::Challenge),
        ),
        (config::flags::SERVICES_BY_DESTINATION, services::by_destination(&settings.service)),
        (config::flags::OBSERVE_SERVICES, settings.service.iter().any(|service| service.observe)),
    ]
    .into_iter()
    .filter(|(_, needed)| *needed)
    .fold(0, |flags, (flag, _)| flags | flag)
}

fn limit(rate: Option<Rate>) -> Limit {
    rate.map_or(Limit::NONE, Rate::limit)
}

/// So many a second, a tenth of them at once.
fn bursting(rate: u32) -> Limit {
    Limit::per_second(rate.into(), u64::from(rate / 10).max(1))
}

/// So many a second, all at once if need be: what keeps something armed.
fn within_a_second(rate: u32) -> Limit {
    Limit::per_second(rate.into(), rate.into())
}

/// Of a duration that the schema bounds.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Samples that may come at once before strays arm their check.
const SAMPLES: u64 = 8;

fn strays(config: &mut Config, stray: &Stray) {
    config.flags |= match stray.scope.as_ref() {
        Strays::Off => 0,
        Strays::Services => config::flags::CHECK_STATE,
        Strays::Host => config::flags::CHECK_STATE | config::flags::CHECK_STATE_OF_HOST,
    };
    let interval = SAMPLE * 1_000_000_000 / u64::from(*stray.on.as_ref());
    config.stray_on = Limit { interval, tolerance: interval * (SAMPLES - 1) };
    config.stray_off = within_a_second(*stray.off.as_ref());
    config.stray_hold = nanoseconds(*stray.hold.as_ref());
}

/// Fills in the forwarded prefixes; more than fit are an error.
fn protect(config: &mut Config, services: &[Service], problems: &mut Problems) {
    let all = (1_u8..).zip(services).flat_map(|(number, s)| s.protect.iter().map(move |p| (number, p)));
    for (index, (number, prefix)) in all.enumerate() {
        let Some(slot) = config.protected.get_mut(index) else {
            let message = format!("more than {MAX_PROTECTED} protected prefixes");
            problems.push(Diagnostic::error(prefix.span(), message).hint("aggregate them"));
            return;
        };
        *slot = mapped(prefix.as_ref());
        config.protected_service[index] = number;
        config.protected_len = index as u32 + 1;
    }
}

fn policy(service: &Service) -> config::Service {
    config::Service {
        syn_mode: match service.syn.mode.as_ref() {
            SynMode::Off => config::syn_mode::OFF,
            SynMode::Limit => config::syn_mode::LIMIT,
            SynMode::Challenge => config::syn_mode::CHALLENGE,
            SynMode::Cookie => config::syn_mode::COOKIE,
            SynMode::Auto => config::syn_mode::AUTO,
        },
        flags: match service.syn.data.as_ref() {
            SynData::Pass => 0,
            SynData::Drop => config::service::DROP_SYN_DATA,
        } | if service.observe { config::service::OBSERVE } else { 0 },
        on: bursting(*service.syn.on.as_ref()),
        off: within_a_second(*service.syn.off.as_ref()),
        hold: nanoseconds(*service.syn.hold.as_ref()),
        ttl_min: match *service.ttl_security.as_ref() {
            0 => 0,
            hops => 256 - hops,
        },
        reserved: 0,
        ..limits(&service.rate)
    }
}

/// A policy of nothing but limits.
fn limits(rates: &Rates) -> config::Service {
    let bytes = |rate: &Option<ByteRate>| rate.map_or(Limit::NONE, ByteRate::limit);
    config::Service {
        per_source: limit(*rates.per_source.as_ref()),
        per_source_syn: limit(*rates.per_source_syn.as_ref()),
        per_source_bytes: bytes(rates.per_source_bytes.as_ref()),
        per_source_flows: limit(*rates.per_source_flows.as_ref()),
        per_prefix: limit(*rates.per_prefix.as_ref()),
        total: limit(*rates.total.as_ref()),
        total_bytes: bytes(rates.total_bytes.as_ref()),
        flows: limit(*rates.flows.as_ref()),
        ..config::Service::NONE
    }
}

/// Limits of the host, and whether anybody has any that cost more than a look at the source's bucket.
fn host_limits(config: &mut Config, host: &HostLimits) {
    config.services[0] = limits(&host.rate);
    config.host_packets = limit(*host.total.as_ref());
    config.host_bytes = host.total_bytes.as_ref().map_or(Limit::NONE, ByteRate::limit);
    let rest = &config.services[0];
    let any = config.host_packets.is_some()
        || config.host_bytes.is_some()
        || rest.per_source.is_some()
        || rest.per_source_syn.is_some()
        || config.services.iter().any(config::Service::has_more_limits);
    if any {
        config.flags |= config::flags::MORE_LIMITS;
    }
}

/// Somebody has to look at them. The budget is that of all CPUs until the loader knows how many there are.
fn events(config: &mut Config, settings: &Settings) {
    let events = &settings.events;
    if events.enabled && *settings.detect.mode.as_ref() != Detection::Off {
        config.flags |= config::flags::EVENTS;
        config.sample_mask = *events.sample.as_ref() - 1;
        config.sample_budget = *events.budget.as_ref();
        if *settings.detect.mode.as_ref() == Detection::Act {
            config.tighten = *settings.detect.tighten.as_ref();
        }
    }
}

/// Whether this host can take over a cookie; says why not if a service asks for it.
fn cookies(settings: &Settings, host: &Host, problems: &mut Problems) -> bool {
    let Some(service) = settings.service.iter().find(|service| service.wants_cookies()) else {
        return false;
    };
    let (why, hint) = match (host.kfunc, host.sysctls.syncookies) {
        (false, _) => ("this kernel lacks bpf_sk_assign_tcp_reqsk", "Linux 6.9 or later has it"),
        // The kfunc says 0 and the kernel resets the connection all the same.
        (true, 0) => ("net.ipv4.tcp_syncookies is 0", "sysctl -w net.ipv4.tcp_syncookies=1"),
        (true, _) => return true,
    };
    let warning = Diagnostic::warning(service.syn.mode.span(), format!("no SYN cookies here: {why}"));
    problems.push(warning.label("SYNs are challenged instead").hint(hint));
    false
}

/// One device; what the interface says, where the device may be below it.
fn interface(
    interface: &Interface,
    (name, link): (&str, &Link),
    settings: &Settings,
    host: &Host,
    base: &Config,
    problems: &mut Problems,
) -> InterfacePlan {
    let above = host.links.get(interface.name.as_ref()).unwrap_or(link);
    let mut config = Box::new(*base);
    config.profile = *interface.profile.as_ref() as u32;
    if *interface.handover.as_ref() == HandOver::Decode {
        config.flags |= config::flags::DECODE_IN_TC;
    }
    if interface.next.is_some() {
        // What goes on is as it came in: another program may have metadata of its own.
        config.flags |= config::flags::NEXT | config::flags::DECODE_IN_TC;
    }
    if interface.observe {
        config.flags |= config::flags::OBSERVE;
    }
    config.tcp = tcp::local(&host.sysctls, link.mtu.min(above.mtu));
    wire::interface(&mut config, interface, &settings.spoofing);
    let mut addresses = [&above.addresses[..], &link.addresses].concat();
    addresses.sort_unstable();
    addresses.dedup();
    connected(&mut config, interface, &addresses, problems);
    let any_cookies =
        config.has(config::flags::COOKIES) && settings.service.iter().any(Service::wants_cookies);
    InterfacePlan {
        name: name.to_owned(),
        attach: *interface.mode.as_ref(),
        ingress: any_cookies.then_some(*interface.tc.as_ref()),
        egress: wire::needs_egress(&config).then_some(*interface.tc.as_ref()),
        frags: link.mtu > ONE_BUFFER && *interface.mode.as_ref() != Attach::Generic,
        next: interface.next.as_ref().map(|path| NextPlan { path: path.as_ref().clone(), program: None }),
        config,
    }
}

/// Largest MTU whose frames lie in one buffer of a page, beside XDP's headroom, an Ethernet header with two tags and
/// `skb_shared_info` (drivers differ by some bytes: a little less is on the safe side).
const ONE_BUFFER: u32 = 3400;

fn connected(config: &mut Config, interface: &Interface, addresses: &[IpNet], problems: &mut Problems) {
    let exempt = prefixes::connected(addresses, *interface.profile.as_ref());
    if exempt.len() > config.connected.len() {
        let error = Diagnostic::error(
            interface.name.span(),
            format!(
                "{} private networks on {}, at most {}",
                exempt.len(),
                interface.name.as_ref(),
                config.connected.len()
            ),
        );
        problems.push(error.hint("profile = \"lan\" lets all private sources pass"));
        return;
    }
    config.connected_len = exempt.len() as u32;
    for (slot, prefix) in config.connected.iter_mut().zip(&exempt) {
        *slot = mapped(prefix);
    }
}

fn local_fits(settings: &Settings, len: usize, problems: &mut Problems) {
    let limit = &settings.limits.local_addresses;
    if len > *limit.as_ref() as usize {
        let message = format!("this host has {len} addresses, the table holds {}", limit.as_ref());
        let span = Some(limit.span()).filter(|span| !span.is_empty());
        problems.push(Diagnostic::error(span, message).hint("raise limits.local_addresses"));
    }
}

fn summary(management: &[IpNet]) -> Box<Summary> {
    let mut summary = Box::new(Summary::EMPTY);
    for prefix in management {
        prefixes::summarise(&mut summary, prefix);
    }
    summary
}

/// Which families the lists hold.
fn list_families(lists: &Lists) -> u32 {
    let bit = |empty: bool, bit: u32| if empty { 0 } else { bit };
    bit(lists.v4.is_empty(), config::list_families::V4) | bit(lists.v6.is_empty(), config::list_families::V6)
}

fn tables(settings: &Settings, lists: &Lists) -> Tables {
    let limits = &settings.limits;
    Tables {
        sources: *limits.source_buckets.as_ref(),
        replies: *limits.reply_buckets.as_ref(),
        recent: *limits.recent.as_ref(),
        proven: *limits.proven.as_ref(),
        queries: *limits.queries.as_ref(),
        flows: *limits.flows.as_ref(),
        local: *limits.local_addresses.as_ref(),
        management: *limits.management_prefixes.as_ref(),
        list_bits: if lists.v4.is_empty() { 1 } else { list::BITS },
        list_records: if lists.v4.is_empty() { 1 } else { list::RECORDS },
        list_pages: build::pages(&lists.v4).max(1),
        list_nodes: build::nodes(&lists.v6).max(1),
        bans: *limits.bans.as_ref(),
        banned: *limits.banned_prefixes.as_ref(),
    }
}

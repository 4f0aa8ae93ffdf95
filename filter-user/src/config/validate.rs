//! What no single knob can know.

mod feeds;
mod notify;
mod rules;

use std::{collections::HashMap, ops::Range, time::Duration};

use filter_common::config::MAX_SERVICES;
use ipnet::IpNet;
use toml::Spanned;

use super::{
    diagnostic::{Diagnostic, Problems},
    schema::{
        Ban, Cookie, Detection, INTERFACES, Interface, Management, Metrics, Mode, Service, Settings, SynMode,
    },
    value::{PortRange, Protocol},
};

/// Checks the whole, cuts off host bits.
pub fn settings(settings: &mut Settings, problems: &mut Problems) {
    interfaces(&settings.interface, problems);
    feeds::feeds(&settings.feed, problems);
    notify::targets(&settings.notify, problems);
    normalise(&mut settings.lists.allow, problems);
    normalise(&mut settings.lists.block, problems);
    for service in &mut settings.service {
        normalise(&mut service.protect, problems);
        normalise(&mut service.dst, problems);
    }
    services(&settings.service, problems);
    rules::rules(&mut settings.rule, problems);
    let limit = *settings.limits.management_prefixes.as_ref() as usize;
    management(&mut settings.management, *settings.daemon.mode.as_ref(), limit, problems);
    cookie(&settings.cookie, problems);
    ban(&mut settings.ban, problems);
    let stray = &settings.stray;
    if stray.off.as_ref() >= stray.on.as_ref() {
        thresholds(&stray.on, &stray.off, problems);
    }
    metrics(&settings.metrics, problems);
    detector(settings, problems);
}

/// Complains about every name that was there before.
fn unique<'a>(what: &str, names: impl Iterator<Item = &'a Spanned<String>>, problems: &mut Problems) {
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    for name in names {
        if let Some(first) = seen.get(name.as_ref().as_str()) {
            let error = Diagnostic::error(name.span(), format!("{what} {:?} is there twice", name.as_ref()));
            problems.push(error.label("again here").other(first.clone(), "first here").hint("remove one"));
        } else {
            seen.insert(name.as_ref(), name.span());
        }
    }
}

fn interfaces(interfaces: &[Interface], problems: &mut Problems) {
    unique("interface", interfaces.iter().map(|i| &i.name), problems);
    if interfaces.is_empty() {
        let error = Diagnostic::error(None, "no interface to protect");
        problems.push(error.hint("add [[interface]] with name = \"...\"; `ip -brief link` lists them"));
    }
    if let Some(extra) = interfaces.get(INTERFACES) {
        let error = Diagnostic::error(extra.name.span(), format!("more than {INTERFACES} interfaces"));
        problems.push(error.hint("protect fewer, or the device below a bond or bridge"));
    }
}

fn services(services: &[Service], problems: &mut Problems) {
    unique("service", services.iter().map(|s| &s.name), problems);
    if let Some(extra) = services.get(MAX_SERVICES - 1) {
        let error = Diagnostic::error(extra.name.span(), format!("more than {} services", MAX_SERVICES - 1));
        problems.push(error.hint("put ports with the same policy into one service"));
    }
    for service in services {
        ports_fit(service, problems);
        ladder(service, problems);
    }
    owners(services, problems);
}

fn ports_fit(service: &Service, problems: &mut Problems) {
    if service.ports.is_empty() {
        let error = Diagnostic::error(
            service.name.span(),
            format!("service {:?} has no ports", service.name.as_ref()),
        );
        problems.push(error.hint("add ports = [\"tcp/443\"] or profile = \"web\""));
    } else if service.defends_syns() && !service.has(Protocol::Tcp) && !service.syn.mode.span().is_empty() {
        let error =
            Diagnostic::error(service.syn.mode.span(), "a SYN defence for a service without a TCP port");
        problems.push(error.hint("remove syn, or add a port such as \"tcp/443\""));
    }
}

fn ladder(service: &Service, problems: &mut Problems) {
    let (on, off) = (&service.syn.on, &service.syn.off);
    if *service.syn.mode.as_ref() == SynMode::Auto && off.as_ref() >= on.as_ref() {
        thresholds(on, off, problems);
    }
    let answers = matches!(service.syn.mode.as_ref(), SynMode::Challenge | SynMode::Cookie | SynMode::Auto);
    if let (Some(prefix), false) = (service.protect.first(), answers) {
        let error = Diagnostic::error(prefix.span(), "a service that protects others has to answer SYNs");
        problems.push(error.hint("add syn = { mode = \"auto\" } or \"challenge\""));
    }
}

fn ban(ban: &mut Ban, problems: &mut Problems) {
    normalise(&mut ban.never, problems);
    let (ttl, longest) = (ban.ttl.as_ref(), ban.ttl_max.as_ref());
    if ttl > longest {
        let given = [&ban.ttl_max, &ban.ttl].map(|time| Some(time.span()).filter(|span| !span.is_empty()));
        let error =
            Diagnostic::error(given.into_iter().flatten().next(), "ban.ttl is longer than ban.ttl_max");
        problems.push(error.hint("raise ttl_max, or lower ttl"));
    }
}

/// `off` is not below `on`: what it switches would flap.
fn thresholds(on: &Spanned<u32>, off: &Spanned<u32>, problems: &mut Problems) {
    let (on, off, span) =
        (on.as_ref(), off.as_ref(), Some(off.span()).filter(|span| !span.is_empty()).unwrap_or(on.span()));
    let error = Diagnostic::error(span, format!("off = {off} is not below on = {on}"));
    problems.push(error.hint("set off to a quarter of on, so that it does not flap"));
}

/// Ranges of ports, and destination prefixes, of all services.
const MOST: usize = 4096;

/// Complains about ports of two services, once for each range, unless the earlier one leaves the later destinations.
fn owners(services: &[Service], problems: &mut Problems) {
    let ports = services.iter().flat_map(|service| &service.ports).nth(MOST).map(Spanned::span);
    let prefixes = services.iter().flat_map(|service| &service.dst).nth(MOST).map(Spanned::span);
    if let Some(extra) = ports.or(prefixes) {
        let error = Diagnostic::error(extra, format!("more than {MOST} of these in all services"));
        problems.push(error.hint("write neighbouring ports as one range, neighbouring prefixes as one"));
        return;
    }
    let mut before: Vec<(&Spanned<PortRange>, usize)> = Vec::new();
    for (number, service) in services.iter().enumerate() {
        let taken: Vec<bool> =
            services[..number].iter().map(|earlier| takes(earlier, service)).chain([true]).collect();
        for ports in &service.ports {
            let first = before.iter().find_map(|(first, owner)| {
                let port = overlap(*first.as_ref(), *ports.as_ref()).filter(|_| taken[*owner])?;
                Some((first.span(), port))
            });
            let Some((first, port)) = first else {
                before.push((ports, number));
                continue;
            };
            let protocol = ports.as_ref().protocol.label();
            let error =
                Diagnostic::error(ports.span(), format!("{protocol}/{port} belongs to a service already"));
            problems.push(error.label("again here").other(first, "first here").hint("remove one of them"));
        }
    }
}

/// The first port of both.
fn overlap(a: PortRange, b: PortRange) -> Option<u16> {
    let first = a.first.max(b.first);
    (a.protocol == b.protocol && first <= a.last.min(b.last)).then_some(first)
}

/// Whether `earlier` leaves nothing of one of the destinations of `later`.
fn takes(earlier: &Service, later: &Service) -> bool {
    let nets = |service: &Service| service.dst.iter().map(|prefix| *prefix.as_ref()).collect::<Vec<IpNet>>();
    let (mine, theirs) = (IpNet::aggregate(&nets(earlier)), nets(later));
    let taken = |prefix: &IpNet| mine.iter().any(|mine| mine.contains(prefix));
    mine.is_empty() || theirs.iter().any(taken)
}

fn management(management: &mut Management, mode: Mode, limit: usize, problems: &mut Problems) {
    normalise(&mut management.allow, problems);
    management.allow.iter().for_each(|prefix| breadth(prefix, problems));
    if let Some(extra) = management.allow.get(limit) {
        let error = Diagnostic::error(extra.span(), format!("more than {limit} management prefixes"));
        problems.push(error.hint("aggregate them, or raise limits.management_prefixes"));
    }
    if management.allow.is_empty() && mode == Mode::Enforce {
        let warning = Diagnostic::warning(None, "enforcing with an empty management list");
        problems.push(warning.hint("add [management] allow = [..] with the addresses that you log in from"));
    }
}

/// Cuts off host bits, and says so.
fn normalise(prefixes: &mut [Spanned<IpNet>], problems: &mut Problems) {
    for prefix in prefixes {
        *prefix = Spanned::new(prefix.span(), normalised(prefix, problems));
    }
}

/// The prefix without host bits.
fn normalised(prefix: &Spanned<IpNet>, problems: &mut Problems) -> IpNet {
    let (given, span) = (*prefix.as_ref(), prefix.span());
    let network = given.trunc();
    if network != given {
        let warning = Diagnostic::warning(span.clone(), format!("{given} has bits beyond its length"));
        problems.push(warning.label(format!("read as {network}")).hint(format!("write \"{network}\"")));
    }
    if let IpNet::V6(v6) = network
        && v6.addr().to_ipv4_mapped().is_some()
    {
        let error = Diagnostic::error(span.clone(), "an IPv4 prefix in IPv6 clothes");
        problems.push(error.hint("write it as IPv4: \"192.31.196.0/24\""));
    }
    network
}

/// Complains about management prefixes that let too many in.
fn breadth(prefix: &Spanned<IpNet>, problems: &mut Problems) {
    let (network, span) = (*prefix.as_ref(), prefix.span());
    let broad = if matches!(network, IpNet::V4(_)) { 8 } else { 16 };
    if network.prefix_len() == 0 {
        let error = Diagnostic::error(span, "this lets every source bypass the filter");
        problems.push(error.hint("list the addresses that you log in from"));
    } else if network.prefix_len() < broad {
        let warning = Diagnostic::warning(
            span,
            format!("{network} lets a large part of the Internet bypass the filter"),
        );
        problems.push(warning.hint("sources can be forged: list as little as you need"));
    }
}

fn cookie(cookie: &Cookie, problems: &mut Problems) {
    let period = *cookie.period.as_ref();
    if period.subsec_nanos() != 0 {
        let error = Diagnostic::error(cookie.period.span(), "the period is not in whole seconds");
        let nearest = Duration::from_secs(period.as_secs());
        problems.push(error.hint(format!("write \"{}s\"", nearest.as_secs())));
    }
}

/// Nothing is sampled for it.
fn detector(settings: &Settings, problems: &mut Problems) {
    let detect = &settings.detect;
    let is_off = *detect.mode.as_ref() == Detection::Off;
    if *detect.mode.as_ref() == Detection::Act && !settings.events.enabled {
        let warning = Diagnostic::warning(detect.mode.span(), "nothing is sampled, so no attack is found");
        problems.push(warning.hint("set events.enabled = true"));
    }
    if let Some(target) = settings.notify.first().filter(|_| is_off || !settings.events.enabled) {
        let warning = Diagnostic::warning(target.name.span(), "no attack is found, so nobody is told of any");
        problems.push(warning.hint("detect.mode = \"observe\" and events.enabled = true find them"));
    }
}

fn metrics(metrics: &Metrics, problems: &mut Problems) {
    match (&metrics.tls_cert, &metrics.tls_key) {
        (Some(lone), None) => {
            let error = Diagnostic::error(lone.span(), "a certificate without its key");
            problems.push(error.hint("name the private key in metrics.tls_key"));
        }
        (None, Some(lone)) => {
            let error = Diagnostic::error(lone.span(), "a key without its certificate");
            problems.push(error.hint("name the certificate chain in metrics.tls_cert"));
        }
        _ => {}
    }
    let Some(address) = metrics.open_at() else { return };
    let span = metrics.listen.span();
    if metrics.users_file.is_none() {
        let warning = Diagnostic::warning(span, format!("metrics are open to others at {address}"));
        problems.push(warning.hint("set metrics.users_file and metrics.tls_cert, or listen on 127.0.0.1"));
    } else if metrics.tls_cert.is_none() {
        let warning = Diagnostic::warning(span, format!("passwords for {address} are sent in clear"));
        problems.push(warning.hint("set metrics.tls_cert and metrics.tls_key"));
    }
}

//! Which service a port, and if need be an address, belongs to.

use filter_common::config::Ports;
use ipnet::IpNet;
use toml::Spanned;

use super::{prefix_words, rules::number, wire};
use crate::config::{
    diagnostic::{Diagnostic, Problems},
    schema::{Service, Settings},
    value::Protocol,
};

/// The ports' table, and the words of the destinations' prefixes.
pub(super) struct Compiled {
    pub(super) ports: Box<Ports>,
    pub(super) destinations: Vec<(IpNet, u64)>,
}

/// Whether destinations matter: the ports' table then holds classes.
pub(super) fn by_destination(services: &[Service]) -> bool {
    services.iter().any(|service| !service.dst.is_empty())
}

/// Compiles valid services.
pub(super) fn compile(settings: &Settings, problems: &mut Problems) -> Compiled {
    let services = settings.service.as_slice();
    let mut ports = Box::new(Ports::EMPTY);
    ports.reflectors = wire::reflectors(&settings.udp);
    if !by_destination(services) {
        for (index, service) in (1..).zip(services) {
            each_range(service, |protocol, range| table(&mut ports, protocol)[range].fill(index));
        }
        return Compiled { ports, destinations: Vec::new() };
    }
    let mut accepted = vec![0_u64; 2 * 65536];
    for (index, service) in (1..).zip(services) {
        each_range(service, |protocol, range| {
            let base = if protocol == Protocol::Tcp { 0 } else { 65536 };
            let values = &mut accepted[base + range.start()..=base + range.end()];
            for services in values {
                *services |= 1 << index;
            }
        });
    }
    let mut of = vec![0; accepted.len()];
    if !number(&accepted, &mut of, &mut ports.classes) {
        let span = services.last().map(|service| service.name.span());
        let error = Diagnostic::error(span, "the services tell more than 256 sets of ports apart");
        problems.push(error.hint("write ranges that more services have in common"));
    }
    let (tcp, udp) = of.split_at(65536);
    ports.tcp.copy_from_slice(tcp);
    ports.udp.copy_from_slice(udp);
    let prefixes: Vec<Vec<IpNet>> =
        services.iter().map(|service| service.dst.iter().map(|prefix| *prefix.as_ref()).collect()).collect();
    let owners: Vec<_> = (1..).zip(&prefixes).map(|(index, list)| (1 << index, list.as_slice())).collect();
    let lists = prefix_words::words(&owners);
    ports.anywhere = lists.elsewhere;
    Compiled { ports, destinations: lists.prefixes }
}

fn table(ports: &mut Ports, protocol: Protocol) -> &mut [u8; 65536] {
    match protocol {
        Protocol::Tcp => &mut ports.tcp,
        Protocol::Udp => &mut ports.udp,
    }
}

fn each_range(service: &Service, mut each: impl FnMut(Protocol, std::ops::RangeInclusive<usize>)) {
    for range in service.ports.iter().map(Spanned::as_ref) {
        each(range.protocol, usize::from(range.first)..=usize::from(range.last));
    }
}

//! Rules as tables: see [`filter_common::rules`].

use std::collections::HashMap;

use filter_common::{
    packet::Fragment,
    rules::{CLASSES, Classes, Rules, field, shape},
};
use ipnet::IpNet;
use toml::Spanned;

use super::{limit, prefix_words};
use crate::config::{
    accepts::{Accepts, Words},
    diagnostic::{Diagnostic, Problems},
    schema::{Action, Per, Rule},
};

/// The tables, and the words of the sources' and the destinations' prefixes.
pub(super) struct Compiled {
    pub(super) rules: Box<Rules>,
    pub(super) sources: Vec<(IpNet, u64)>,
    pub(super) destinations: Vec<(IpNet, u64)>,
}

/// Compiles valid rules; complains if a table of classes is too small.
pub(super) fn compile(rules: &[Rule], problems: &mut Problems) -> Compiled {
    let accepts: Vec<_> = rules.iter().map(Accepts::of).collect();
    let mut tables = Box::new(Rules::EMPTY);
    tables.len = rules.len() as u64;
    for (number, (rule, accepts)) in rules.iter().zip(&accepts).enumerate() {
        actions(&mut tables, rule, number);
        bytes(&mut tables, accepts, 1 << number);
        tables.fields |= fields(accepts);
    }
    for (table, values, name) in [
        (&mut tables.source_ports, (|a| &a.source_ports) as fn(&Accepts) -> &Words, "source ports"),
        (&mut tables.destination_ports, |a| &a.destination_ports, "destination ports"),
        (&mut tables.lengths, |a| &a.lengths, "lengths"),
    ] {
        let words: Vec<_> = accepts.iter().map(values).collect();
        if !classes(table, &words) {
            let span = rules.last().map(|rule| rule.name.span());
            let error =
                Diagnostic::error(span, format!("the rules tell more than {CLASSES} sets of {name} apart"));
            problems.push(error.hint("write ranges that more rules have in common"));
        }
    }
    let side = |values: fn(&Accepts) -> &Vec<IpNet>| {
        let owners =
            accepts.iter().enumerate().map(|(number, accepts)| (1 << number, values(accepts).as_slice()));
        prefix_words::words(&owners.collect::<Vec<_>>())
    };
    let (sources, destinations) = (side(|accepts| &accepts.sources), side(|accepts| &accepts.destinations));
    (tables.any_source, tables.any_destination) = (sources.elsewhere, destinations.elsewhere);
    Compiled { rules: tables, sources: sources.prefixes, destinations: destinations.prefixes }
}

fn actions(tables: &mut Rules, rule: &Rule, number: usize) {
    let set = match rule.action.as_ref() {
        Action::Pass => Some(&mut tables.pass),
        Action::Drop => Some(&mut tables.drop),
        Action::Limit => Some(&mut tables.limit),
        Action::Challenge => Some(&mut tables.challenge),
        Action::Count => None,
    };
    if let Some(set) = set {
        *set |= 1 << number;
    }
    if rule.per.as_ref().map(Spanned::as_ref) != Some(&Per::Rule) {
        tables.per_source |= 1 << number;
    }
    tables.observe |= u64::from(rule.observe) << number;
    tables.limits[number] = limit(*rule.rate.as_ref());
}

fn bytes(tables: &mut Rules, accepts: &Accepts, rule: u64) {
    for value in 0..=255_u8 {
        for (table, set) in [
            (&mut tables.protocols, &accepts.protocols),
            (&mut tables.ttls, &accepts.ttls),
            (&mut tables.tcp_flags, &accepts.tcp_flags),
            (&mut tables.icmp_types, &accepts.icmp_types),
        ] {
            if set.has(value) {
                table[usize::from(value)] |= rule;
            }
        }
    }
    for is_v6 in [false, true] {
        for fragment in [Fragment::No, Fragment::First, Fragment::Later] {
            if accepts.families[usize::from(is_v6)] && accepts.fragments[fragment as usize] {
                tables.shapes[shape(is_v6, fragment)] |= rule;
            }
        }
    }
}

/// What a rule asks about.
fn fields(accepts: &Accepts) -> u64 {
    [
        (field::SOURCE, !accepts.sources.is_empty()),
        (field::DESTINATION, !accepts.destinations.is_empty()),
        (field::PROTOCOL, !accepts.protocols.is_all()),
        (field::SOURCE_PORT, !accepts.source_ports.is_all()),
        (field::DESTINATION_PORT, !accepts.destination_ports.is_all()),
        (field::TCP_FLAGS, !accepts.tcp_flags.is_all()),
        (field::ICMP_TYPE, !accepts.icmp_types.is_all()),
        (field::LENGTH, !accepts.lengths.is_all()),
        (field::TTL, !accepts.ttls.is_all()),
    ]
    .into_iter()
    .filter(|(_, asked)| *asked)
    .fold(0, |fields, (field, _)| fields | field)
}

/// Fills a table; false if there are more sets of rules than classes.
fn classes(table: &mut Classes, words: &[&Words]) -> bool {
    let mut accepted = vec![0_u64; table.of.len()];
    for (number, words) in words.iter().enumerate() {
        for range in words.ranges() {
            let values = usize::from(range.first)..=usize::from(range.last);
            for rules in &mut accepted[values] {
                *rules |= 1 << number;
            }
        }
    }
    number(&accepted, &mut table.of, &mut table.rules)
}

/// Gives equal words of `accepted` a class of their own; the word 0 is class 0.
pub(super) fn number(accepted: &[u64], of: &mut [u8], rules: &mut [u64]) -> bool {
    let mut known = HashMap::from([(0, 0)]);
    for (accepted, class) in accepted.iter().zip(of) {
        let next = known.len();
        let number = *known.entry(*accepted).or_insert(next);
        let Some(slot) = rules.get_mut(number) else { return false };
        (*slot, *class) = (*accepted, number as u8);
    }
    true
}

#[cfg(test)]
mod tests;

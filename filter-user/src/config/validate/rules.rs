//! Rules that could never do what they say.

use std::ops::Range;

use filter_common::{headers::protocol, rules::MAX_RULES};
use toml::Spanned;

use super::{normalise, unique};
use crate::config::{
    accepts::{Accepts, asks_transport},
    diagnostic::{Diagnostic, Problems},
    schema::{Action, FragmentKind, Rule},
};

/// Prefixes on one side of all rules.
const MOST_PREFIXES: usize = 4096;

/// Shortest IP packet.
const SHORTEST: u16 = 20;

/// Checks each, then all together; cuts off host bits.
pub(super) fn rules(rules: &mut [Rule], problems: &mut Problems) {
    for rule in rules.iter_mut() {
        normalise(&mut rule.src, problems);
        normalise(&mut rule.dst, problems);
    }
    unique("rule", rules.iter().map(|rule| &rule.name), problems);
    if let Some(extra) = rules.get(MAX_RULES) {
        let error = Diagnostic::error(extra.name.span(), format!("more than {MAX_RULES} rules"));
        problems.push(error.hint("put prefixes and ports with the same action into one rule"));
        return;
    }
    for side in [|rule: &Rule| rule.src.len(), |rule: &Rule| rule.dst.len()] {
        let mut sum = 0;
        let over = rules.iter().find(|rule| {
            sum += side(rule);
            sum > MOST_PREFIXES
        });
        if let Some(rule) = over {
            let error =
                Diagnostic::error(rule.name.span(), format!("more than {MOST_PREFIXES} prefixes in rules"));
            problems.push(error.hint("aggregate them"));
            return;
        }
    }
    let accepts: Vec<_> = rules.iter().map(Accepts::of).collect();
    for (rule, accepts) in rules.iter().zip(&accepts) {
        fields(rule, accepts, problems);
        action(rule, accepts, problems);
    }
    reached(rules, &accepts, problems);
}

fn fields(rule: &Rule, accepts: &Accepts, problems: &mut Problems) {
    let mut refuse = |span: Range<usize>, message: &str, hint: &str| {
        problems.push(Diagnostic::error(span, message).hint(hint));
    };
    let first = |list: &[Spanned<_>]| list.first().map(Spanned::span);
    if let Some(span) = first(&rule.sport).or(first(&rule.dport))
        && !accepts.only(&[protocol::TCP, protocol::UDP])
    {
        refuse(span, "ports of a protocol that may have none", "add proto = \"tcp\" or \"udp\"");
    }
    if let Some(flags) = &rule.flags
        && !accepts.only(&[protocol::TCP])
    {
        refuse(flags.span(), "TCP flags of another protocol", "add proto = \"tcp\"");
    }
    if let Some(kind) = rule.icmp_type.first()
        && !accepts.only(&[protocol::ICMP, protocol::ICMPV6])
    {
        refuse(kind.span(), "ICMP types of another protocol", "add proto = \"icmp\" or \"icmpv6\"");
    }
    if let Some(length) = &rule.length
        && length.as_ref().last < SHORTEST
    {
        refuse(
            length.span(),
            "no IP packet is that short",
            "the length counts the IP header: 20 bytes and more",
        );
    }
    if let Some(fragment) = &rule.fragment
        && *fragment.as_ref() == FragmentKind::Later
        && asks_transport(rule)
    {
        let message = "later fragments have no ports, no flags and no ICMP type";
        refuse(fragment.span(), message, "remove these, or write fragment = \"any\"");
    }
    if accepts.families == [false; 2] {
        let prefix = rule.src.first().or(rule.dst.first()).map_or(rule.name.span(), Spanned::span);
        let message = "IPv4 on one side and IPv6 on the other: no packet matches";
        refuse(
            prefix,
            message,
            "ICMP is IPv4's and ICMPv6 is IPv6's; use prefixes of one family, or of both",
        );
    }
}

fn action(rule: &Rule, accepts: &Accepts, problems: &mut Problems) {
    let action = *rule.action.as_ref();
    let mut refuse = |span: Range<usize>, message: String, hint: &str| {
        problems.push(Diagnostic::error(span, message).hint(hint));
    };
    let limits = action == Action::Limit;
    if limits && rule.rate.as_ref().is_none() {
        refuse(rule.action.span(), "a limit without a rate".to_owned(), "add rate = \"1000/s burst 2000\"");
    }
    if !limits && rule.rate.as_ref().is_some() {
        let message = format!("a rate for the action {:?}", action.label());
        refuse(rule.rate.span(), message, "write action = \"limit\", or remove it");
    }
    if let (Some(per), false) = (&rule.per, limits) {
        let message = format!("per for the action {:?}", action.label());
        refuse(per.span(), message, "write action = \"limit\", or remove it");
    }
    if action == Action::Challenge && !accepts.has_syns() {
        let hint = "challenges are for TCP SYNs: remove what excludes them";
        refuse(rule.action.span(), "a challenge that no SYN matches".to_owned(), hint);
    }
    if action == Action::Drop && !rule.observe && accepts.is_all() {
        let warning = Diagnostic::warning(rule.name.span(), "this rule drops every packet that gets to it");
        problems.push(warning.hint("answers to this host's own connections are among them"));
    }
}

/// Warns of rules of which an earlier one leaves nothing.
fn reached(rules: &[Rule], accepts: &[Accepts], problems: &mut Problems) {
    for (index, rule) in rules.iter().enumerate() {
        let decides =
            |rule: &Rule| !rule.observe && matches!(rule.action.as_ref(), Action::Pass | Action::Drop);
        let mut earlier = rules[..index].iter().zip(accepts).filter(|(earlier, _)| decides(earlier));
        if let Some((first, _)) = earlier.find(|(_, earlier)| earlier.covers(&accepts[index])) {
            let message = format!("no packet reaches the rule {:?}", rule.name.as_ref());
            let warning = Diagnostic::warning(rule.name.span(), message).label("never reached");
            problems.push(
                warning.other(first.name.span(), "decides all of it").hint("put the narrower rule first"),
            );
        }
    }
}

//! The operator's rules, in the file's order: the first that passes, drops or challenges decides; all others only take note.

use crate::{
    config::{Limit, flags},
    packet::{Fragment, Packet},
    reason::Reason,
    rules::{MAX_RULES, Rules, counter_index, field, lowest, shape},
    state::{List, State},
};

/// What the rules say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruled {
    /// Nothing.
    GoesOn,
    /// It is a SYN that is to be challenged, whatever its service does.
    Challenge,
    /// It passes, if its source is no forged one; no service looks at it.
    Pass,
    /// It is dropped.
    Drop(Reason),
}

impl Ruled {
    /// For [`Self::from_number`]; none for what is dropped.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::GoesOn => Some(0),
            Self::Challenge => Some(1),
            Self::Pass => Some(2),
            Self::Drop(_) => None,
        }
    }

    /// What was said by [`Self::number`]; what no rule of this configuration can say is ruled out for the verifier.
    #[must_use]
    #[inline(always)]
    pub fn from_number<S: State>(number: u32, state: &S) -> Self {
        let config = state.config();
        if config.has(flags::CHALLENGE_RULES) && number == 1 {
            Self::Challenge
        } else if config.has(flags::RULES) && number == 2 {
            Self::Pass
        } else {
            Self::GoesOn
        }
    }
}

/// Judges a packet that [`super::early`] let through; counts for each rule that it meets.
///
/// A later fragment has no ports, flags or ICMP type, so it meets a rule
/// that asks for one only if that rule says so (`fragment = "any"`).
#[inline(always)]
pub fn check<S: State>(packet: &Packet, state: &S) -> Ruled {
    let rules = state.rules();
    let mut left = matching(packet, rules, state);
    if !packet.is_syn() {
        left &= !rules.challenge;
    }
    for turn in 0..MAX_RULES as u64 {
        // The number of rules is a constant to the verifier, which follows as many turns.
        if left == 0 || turn >= rules.len {
            break;
        }
        let rule = left & left.wrapping_neg();
        left ^= rule;
        let number = lowest(rule);
        let verdict = one(packet, rule, number, rules, state);
        let acted = matches!(verdict, Ruled::Drop(_) | Ruled::Challenge);
        state.count_rule(counter_index(number, acted), packet.frame_length as u64);
        if rules.observe & rule == 0 && verdict != Ruled::GoesOn {
            return verdict;
        }
    }
    Ruled::GoesOn
}

/// What one rule says of a packet that it matches.
#[inline(always)]
fn one<S: State>(packet: &Packet, rule: u64, number: u32, rules: &Rules, state: &S) -> Ruled {
    if rules.drop & rule != 0 {
        Ruled::Drop(Reason::RuleDrop)
    } else if rules.pass & rule != 0 {
        Ruled::Pass
    } else if rules.challenge & rule != 0 {
        Ruled::Challenge
    } else if rules.limit & rule != 0 && !within(packet, rule, number, rules, state) {
        Ruled::Drop(Reason::RuleLimit)
    } else {
        Ruled::GoesOn
    }
}

/// Whether the packet is within its rule's rate.
#[inline(always)]
fn within<S: State>(packet: &Packet, rule: u64, number: u32, rules: &Rules, state: &S) -> bool {
    let Limit { interval, tolerance } = rules.limits[number as usize & (MAX_RULES - 1)];
    let limit = Limit { interval, tolerance };
    if rules.per_source & rule != 0 {
        let kind = 1 << super::limit::RULE | (packet.is_v6 as u64) << 48 | (number as u64) << 32;
        return state.take([packet.source_network(), kind], limit, state.now());
    }
    state.take_of_rule(number, limit, state.now())
}

/// The rules that accept every field of the packet.
#[inline(always)]
fn matching<S: State>(packet: &Packet, rules: &Rules, state: &S) -> u64 {
    let mut left = rules.shapes[shape(packet.is_v6, packet.fragment)];
    if rules.asks(field::PROTOCOL) {
        left &= rules.protocols[packet.protocol as usize];
    }
    if rules.asks(field::TTL) {
        left &= rules.ttls[packet.ttl as usize];
    }
    if rules.asks(field::LENGTH) {
        left &= rules.lengths.rules[rules.lengths.of[packet.length as usize] as usize];
    }
    if packet.fragment != Fragment::Later {
        left &= transport(packet, rules);
    }
    if left != 0 && rules.asks(field::SOURCE) {
        left &= state.listed(List::RuleSources, &packet.source).unwrap_or(rules.any_source);
    }
    if left != 0 && rules.asks(field::DESTINATION) {
        left &= state.listed(List::RuleDestinations, &packet.destination).unwrap_or(rules.any_destination);
    }
    left
}

/// The rules that accept the transport header.
#[inline(always)]
fn transport(packet: &Packet, rules: &Rules) -> u64 {
    let mut left = u64::MAX;
    if rules.asks(field::DESTINATION_PORT) {
        let ports = &rules.destination_ports;
        left &= ports.rules[ports.of[packet.ports.destination as usize] as usize];
    }
    if rules.asks(field::SOURCE_PORT) {
        let ports = &rules.source_ports;
        left &= ports.rules[ports.of[packet.ports.source as usize] as usize];
    }
    if rules.asks(field::TCP_FLAGS) {
        left &= rules.tcp_flags[packet.tcp.flags as usize];
    }
    if rules.asks(field::ICMP_TYPE) {
        left &= rules.icmp_types[packet.icmp_type as usize];
    }
    left
}

//! What kind of flood is it, what is done about it, and do honest clients get through?

use super::{
    BAD, Dashboard, OFF, Panel,
    View::{Lines, Stacked, Stat, States},
    WARN, YES, overview, panel, target,
};

pub(super) const BOARD: Dashboard = Dashboard {
    uid: "floodwall-attack",
    title: "Floodwall / Attack",
    description: "What kind of flood is it, what is done about it, and do honest clients get through?",
    rows: &[
        ("What comes", COMES),
        ("SYN defence", SYN),
        ("Limits, strays, rules", LIMITS),
        ("Samples", SAMPLES),
    ],
};

const COMES: &[Panel] = &[
    panel(
        "Attacks by vector",
        "What the detector sees, by vector and service. floodwall attack show tells who sends most.",
        "none",
        States(&[(0.0, "no", OFF), (1.0, "attack", BAD)]),
    )
    .asks(&[target(
        "max by (vector, service) (floodwall_attack_active{%,service=~\"$service\"}) > 0 or on () vector(0)",
        "{{service}} {{vector}}",
    )]),
    panel(
        "Attacks that began",
        "How many vectors were found in the last hour, by vector: many short ones are one that pulses.",
        "short",
        Lines,
    )
    .from(&[(10.0, WARN)])
    .asks(&[target(
        "sum by (vector) (increase(floodwall_attacks_total{%,service=~\"$service\"}[1h]))",
        "{{vector}}",
    )]),
    overview::SYNS,
    panel(
        "Drops by reason",
        "The reasons that most packets are, or would be, dropped for.",
        "pps",
        Stacked,
    )
    .asks(&[target(
        "topk(10, sum by (reason) (rate(floodwall_packets_total{%,verdict=~\"drop|would_drop\"}[$__rate_interval])) > 0) or on () vector(0)",
        "{{reason}}",
    )]),
    panel(
        "Mean size of dropped packets",
        "Bytes a dropped packet: near 60 for floods of SYNs and ACKs, near 1,500 for amplified answers.",
        "decbytes",
        Lines,
    )
    .wide(8).asks(&[target(
        "sum(rate(floodwall_bytes_total{%,verdict=~\"drop|would_drop\"}[$__rate_interval])) / (sum(rate(floodwall_packets_total{%,verdict=~\"drop|would_drop\"}[$__rate_interval])) > 0) or vector(0)",
        "mean",
    )]),
    panel(
        "What leaves this host",
        "Packets that leave, by fate. egress_forged is a source that is not this host's own: somebody here takes part in an attack.",
        "pps",
        Lines,
    )
    .wide(8).asks(&[target(
        "sum by (reason) (rate(floodwall_egress_packets_total{%}[$__rate_interval]))",
        "{{reason}}",
    )]),
    panel("Bits that leave", "The same in bits on the wire.", "bps", Lines).wide(8).asks(&[target(
        "8 * sum by (reason) (rate(floodwall_egress_bytes_total{%}[$__rate_interval]))",
        "{{reason}}",
    )]),
];

const SYN: &[Panel] = &[
    panel(
        "Cookies",
        "1 while SYN cookies can be issued: the kernel can, a service asks for them, and there is a key in its time.",
        "none",
        Stat(&[(0.0, "not issued", WARN), (1.0, "issued", YES)]),
    )
    .wide(8).asks(&[target("min(floodwall_syn_cookie_armed{%})", "cookies")]),
    panel(
        "Completed",
        "Part of the cookies that came back valid. Under a flood from forged sources it is near 0, and says nothing about honest clients.",
        "percentunit",
        Stat(&[]),
    )
    .wide(8).asks(&[target(
        "sum(rate(floodwall_syn_cookie_validated_total{%,result=\"valid\"}[$__rate_interval])) / (sum(rate(floodwall_syn_cookie_sent_total{%}[$__rate_interval])) > 0) or vector(0)",
        "completed",
    )]),
    panel(
        "Ports without cookies",
        "TCP ports whose SYNs are challenged because the kernel refused a hand-over there: floodwall status names them and says why.",
        "short",
        Stat(&[]),
    )
    .from(&[(1.0, WARN)])
    .wide(8).asks(&[target("sum(floodwall_syn_cookie_stepped_down_ports{%})", "ports")]),
    panel(
        "Services that answer SYNs",
        "1 while more SYNs come than the service's syn.on, so that SYNs are answered by cookies or challenges.",
        "none",
        States(&[(0.0, "stack", YES), (1.0, "armed", WARN)]),
    )
    .wide(24).asks(&[target(
        "max by (service) (floodwall_syn_armed{%,service=~\"$service\"})",
        "{{service}}",
    )]),
    panel(
        "Answers to SYNs",
        "SYN-ACKs that the data path sent: with a cookie, or as a challenge.",
        "pps",
        Lines,
    )
    .asks(&[
        target("sum(rate(floodwall_syn_cookie_sent_total{%}[$__rate_interval]))", "cookies"),
        target("sum(rate(floodwall_challenge_sent_total{%}[$__rate_interval]))", "challenges"),
    ]),
    panel(
        "Proofs",
        "What came back: valid cookies become connections, answered challenges make a source proven. Invalid ones are an ACK flood, or keys that hosts behind one address do not share.",
        "pps",
        Lines,
    )
    .asks(&[
        target(
            "sum by (result) (rate(floodwall_syn_cookie_validated_total{%}[$__rate_interval]))",
            "{{result}} cookies",
        ),
        target("sum(rate(floodwall_challenge_passed_total{%}[$__rate_interval]))", "challenges passed"),
    ]),
    panel(
        "Hand-overs to the stack",
        "What the kernel did with valid cookies. Anything but ok costs a client its connection.",
        "pps",
        Lines,
    )
    .asks(&[target(
        "sum by (result) (rate(floodwall_syn_cookie_handover_total{%}[$__rate_interval]))",
        "{{result}}",
    )]),
    panel(
        "Services armed in the last hour",
        "How often services began to answer SYNs: many times means that syn.on and syn.off are too near to each other, or that the flood pulses.",
        "short",
        Lines,
    )
    .from(&[(20.0, WARN)])
    .asks(&[target(
        "sum by (service) (increase(floodwall_syn_armings_total{%,service=~\"$service\"}[1h]))",
        "{{service}}",
    )]),
];

const LIMITS: &[Panel] = &[
    panel(
        "Drops by limit",
        "Packets over a limit, by limit. reply_total and reply_prefix mean that honest clients may get no SYN-ACK.",
        "pps",
        Stacked,
    )
    .wide(8).asks(&[target(
        "sum by (limiter) (rate(floodwall_ratelimit_dropped_total{%}[$__rate_interval]))",
        "{{limiter}}",
    )]),
    panel(
        "Stray segments dropped",
        "1 while segments of no connection flood the service, so that all of them are looked up and strays are dropped.",
        "none",
        States(&[(0.0, "no", YES), (1.0, "armed", WARN)]),
    )
    .wide(8).asks(&[target(
        "max by (service) (floodwall_stray_armed{%,service=~\"$service\"})",
        "{{service}}",
    )]),
    panel(
        "Limits of sources tightened",
        "1 while the detector keeps the limits of sources narrower, because nothing else helps against the attack (detect.tighten).",
        "none",
        States(&[(0.0, "no", YES), (1.0, "tightened", WARN)]),
    )
    .wide(8).asks(&[target(
        "max by (service) (floodwall_limits_tightened{%,service=~\"$service\"})",
        "{{service}}",
    )]),
    panel(
        "Stray armings in the last hour",
        "How often the look-up of all segments began, by service.",
        "short",
        Lines,
    )
    .from(&[(20.0, WARN)])
    .wide(8).asks(&[target(
        "sum by (service) (increase(floodwall_stray_armings_total{%,service=~\"$service\"}[1h]))",
        "{{service}}",
    )]),
    panel(
        "Packets by rule",
        "What the operator's own rules did; would_* for a rule on trial.",
        "pps",
        Lines,
    )
    .wide(8).asks(&[target(
        "sum by (rule, verdict) (rate(floodwall_rule_packets_total{%}[$__rate_interval])) or on () vector(0)",
        "{{rule}} {{verdict}}",
    )]),
    panel(
        "Bits by rule",
        "The same in bits on the wire.",
        "bps",
        Lines,
    )
    .wide(8).asks(&[target(
        "8 * sum by (rule, verdict) (rate(floodwall_rule_bytes_total{%}[$__rate_interval])) or on () vector(0)",
        "{{rule}} {{verdict}}",
    )]),
];

const SAMPLES: &[Panel] = &[
    panel(
        "Sampled packets",
        "Packets that the data path told the daemon of. The detector, and SYNs by service, rest on them.",
        "pps",
        Lines,
    )
    .asks(&[target("sum(rate(floodwall_events_total{%}[$__rate_interval]))", "sampled")]),
    panel(
        "Samples lost",
        "Samples that the data path could not tell of. For a second at an attack's beginning that is usual; for minutes it makes estimates rough.",
        "pps",
        Lines,
    )
    .from(&[(1000.0, WARN)])
    .asks(&[target("sum by (cause) (rate(floodwall_events_lost_total{%}[$__rate_interval]))", "{{cause}}")]),
    panel(
        "Incidents in the last hour",
        "Attacks that were kept as evidence (floodwall incident list), and writings of them that failed: the disk is full, or daemon.state is not the daemon's own.",
        "short",
        Lines,
    )
    .asks(&[target(
        "sum by (result) (increase(floodwall_incidents_total{%}[1h]))",
        "{{result}}",
    )]),
    panel(
        "Notifications in the last hour",
        "What became of notifications of attacks, and how many wait (floodwall notify list). Tries that fail are repeated; given_up and what waits for minutes were not told.",
        "short",
        Lines,
    )
    .asks(&[
        target("sum by (target, result) (increase(floodwall_notifications_total{%}[1h])) > 0 or on () vector(0)", "{{target}} {{result}}"),
        target("sum by (target) (floodwall_notifications_waiting{%}) or on () vector(0)", "{{target}} waiting"),
    ]),
];

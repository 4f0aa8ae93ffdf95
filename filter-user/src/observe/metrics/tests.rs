//! The exposition is complete, adds up, and is what the docs say.

use std::{fmt::Write as _, time::Duration};

use filter_common::reason::REASONS;

use super::*;
use crate::{
    config::schema::Action,
    daemon::feeds::Line,
    dataplane::{Armed, EventFigures, Figures, RuleCount, Switched},
    observe::sample::{NextProgram, Table},
};

fn sample() -> Sample {
    let mut counters = [[Counter::default(); REASONS]; Plane::ALL.len()];
    counters[Plane::EgressObserved as usize][Reason::EgressForged as usize] =
        Counter { packets: 4, bytes: 400 };
    counters[0][Reason::CookieSent as usize] = Counter { packets: 3, bytes: 222 };
    counters[1][Reason::Bogon as usize] = Counter { packets: 5, bytes: 500 };
    Sample {
        interfaces: vec![Interface {
            name: "eth0".to_owned(),
            ifindex: 2,
            xdp: "native".to_owned(),
            tc: Some("tcx".to_owned()),
            egress: Some("tcx".to_owned()),
            next: Some(NextProgram { program: 41, name: "balance".to_owned() }),
            counters,
        }],
        hand_overs: vec![("ok", 2)],
        step_downs: vec![],
        keys: Keys { epoch: 7, armed: true, age: Duration::from_secs(3), expires_in: Duration::from_secs(9) },
        armed: vec![
            Armed::default(),
            Armed { syn: Switched { on: true, count: 4, ..Switched::default() }, ..Armed::default() },
        ],
        bans: Figures { sources: 5, prefixes: 2, made: [9, 3], refused: 1 },
        rules: vec![
            RuleCount {
                passed: Counter { packets: 6, bytes: 600 },
                acted: Counter { packets: 7, bytes: 700 },
            };
            2
        ],
        tables: vec![Table { name: "sources".to_owned(), entries: 1, max: 1024 }],
        events: EventFigures { written: 8, full: 1, over: 2 },
    }
}

fn facts() -> Facts {
    Facts {
        mode: Mode::Enforce,
        feeds: vec![Line {
            name: "drop".to_owned(),
            ranges: [7, 1],
            state: "stale".to_owned(),
            ..Line::default()
        }],
        lists: [Prefixes { v4: 1, v6: 0 }, Prefixes { v4: 3, v6: 4 }],
        cookies: true,
        services: vec!["web".to_owned()],
        rules: vec![
            RuleFacts { name: "slow".to_owned(), action: Action::Limit, observe: false },
            RuleFacts { name: "trial".to_owned(), action: Action::Drop, observe: true },
        ],
        next: [("eth0".to_owned(), "/sys/fs/bpf/balance".to_owned())].into(),
        reload_successful: true,
        reload_success: SystemTime::UNIX_EPOCH,
        attacks: vec![],
        commit: Standing { revision: 7, confirm_seconds: Some(9), quarantined: 2, ..Standing::default() },
    }
}

fn exposition() -> String {
    render(&registry(|| Some((sample(), facts()))).unwrap()).unwrap()
}

#[test]
fn every_metric_is_there_with_its_type() {
    let text = exposition();
    for metric in METRICS {
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
    }
    assert!(text.contains("\nprocess_start_time_seconds "));
}

#[test]
fn every_reason_is_there_from_the_start() {
    let text = exposition();
    for reason in Reason::ALL {
        let verdict = reason.action().label();
        let series = format!("{{interface=\"eth0\",reason=\"{}\",verdict=\"{verdict}\"}}", reason.label());
        let family = if reason.is_of_egress() { "egress_packets_total" } else { "packets_total" };
        assert!(text.contains(&format!("floodwall_{family}{series} ")), "{series}");
    }
}

#[test]
fn values_land_in_their_series() {
    let text = exposition();
    for line in [
        "floodwall_packets_total{interface=\"eth0\",reason=\"cookie_sent\",verdict=\"reply\"} 3",
        "floodwall_bytes_total{interface=\"eth0\",reason=\"cookie_sent\",verdict=\"reply\"} 222",
        "floodwall_packets_total{interface=\"eth0\",reason=\"bogon\",verdict=\"would_drop\"} 5",
        "floodwall_packets_total{interface=\"eth0\",reason=\"bogon\",verdict=\"drop\"} 0",
        "floodwall_egress_packets_total{interface=\"eth0\",reason=\"egress_forged\",verdict=\"would_drop\"} 4",
        "floodwall_syn_cookie_sent_total 3",
        "floodwall_syn_cookie_handover_total{result=\"ok\"} 2",
        "floodwall_cookie_epoch 7",
        "floodwall_syn_armed{service=\"web\"} 1",
        "floodwall_syn_armings_total{service=\"web\"} 4",
        "floodwall_stray_armed{service=\"*\"} 0",
        "floodwall_list_prefixes{family=\"ipv6\",list=\"block\"} 4",
        "floodwall_ban_entries{kind=\"source\"} 5",
        "floodwall_bans_refused_total 1",
        "floodwall_rule_packets_total{rule=\"slow\",verdict=\"pass\"} 6",
        "floodwall_rule_bytes_total{rule=\"slow\",verdict=\"drop\"} 700",
        "floodwall_rule_packets_total{rule=\"trial\",verdict=\"would_drop\"} 7",
        "floodwall_mode{mode=\"enforce\"} 1",
        "floodwall_mode{mode=\"observe\"} 0",
        "floodwall_interface_attached{interface=\"eth0\",mode=\"native\"} 1",
        "floodwall_interface_next{interface=\"eth0\"} 1",
        "floodwall_config_revision 7",
        "floodwall_config_pending_confirm 1",
        "floodwall_bypass 0",
        "floodwall_state_writable 1",
        "floodwall_state_quarantined_total 2",
        "floodwall_map_max_entries{map=\"sources\"} 1024",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn four_interfaces_stay_below_2000_series() {
    let series = exposition().lines().filter(|line| line.contains("interface=")).count();
    assert!(series * 4 < 1900, "{series} series for one interface");
}

/// Where it is installed, the judge is Prometheus' own tool.
#[test]
fn promtool_finds_nothing() {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else { return };
    tool.stdin.take().unwrap().write_all(exposition().as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn metrics_md_is_current() {
    let mut text = String::from(
        "# Metrics\n\nServed at `/metrics` of `[metrics] listen`. Read from the kernel's maps at each scrape; \
         every series is there from the start at 0;\nno address is ever a label. `process_*` metrics come with \
         them. This page is generated from the table in the source\n(`FLOODWALL_BLESS=1 cargo test -p \
         filter-user metrics_md`).\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for Metric { name, kind, labels, help } in METRICS {
        let kind = if *kind == Kind::Counter { "counter" } else { "gauge" };
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    text.push_str(
        "\nCounters belong to the interface's tables: they go on over restarts and reloads of the daemon, and \
         start at 0 after\n`floodwall detach`.\n\n## Values of `verdict` and `reason`\n\nIn observe mode the \
         verdicts `drop` and `reply` are `would_drop` and `would_reply`: the packet passed.\n\n\
         | reason | verdict | meaning |\n|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let _ =
            writeln!(text, "| `{}` | `{}` | {} |", reason.label(), reason.action().label(), reason.help());
    }
    crate::testing::is_current("metrics.md", &text);
}

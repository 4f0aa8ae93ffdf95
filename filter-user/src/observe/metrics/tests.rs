//! The exposition is complete, adds up, and is what the docs say.

use std::{fmt::Write as _, time::Duration};

use filter_common::{abi::HandOver, reason::REASONS};

use super::*;
use crate::{
    config::schema::Action,
    daemon::feeds::Line,
    dataplane::{Armed, EventFigures, Figures, RuleCount, Switched},
    observe::sample::{NextProgram, Runs, Table},
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
        hand_overs: HandOver::ALL.iter().map(|(_, label)| (*label, 2)).collect(),
        step_downs: vec![],
        keys: Keys { epoch: 7, armed: true, age: Duration::from_secs(3), expires_in: Duration::from_secs(9) },
        armed: vec![
            Armed::default(),
            Armed {
                syn: Switched { on: true, count: 4, ..Switched::default() },
                limits: true,
                ..Armed::default()
            },
        ],
        bans: Figures { sources: 5, prefixes: 2, made: [9, 3], refused: 1 },
        rules: vec![
            RuleCount {
                passed: Counter { packets: 6, bytes: 600 },
                acted: Counter { packets: 7, bytes: 700 },
            };
            2
        ],
        tables: ["sources", "replies", "recent", "proven", "queries", "flows", "bans", "banned"]
            .map(|name| Table { name: name.to_owned(), entries: 1, max: 1024 })
            .to_vec(),
        events: EventFigures { written: 8, full: 1, over: 2 },
        stats_enabled: true,
        runs: vec![Runs {
            interface: "eth0".to_owned(),
            hook: "xdp",
            count: 40,
            time: Duration::from_millis(1500),
        }],
        took: Duration::from_millis(4),
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
        incidents: [3, 1],
        notify: vec![notify::Line { name: "ops".to_owned(), sent: 5, waiting: 2, ..notify::Line::default() }],
        absent: vec!["eth9".to_owned()],
        syns: vec![1.0, 70.4],
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
        assert!(
            text.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.label())),
            "{}",
            metric.name
        );
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
        "floodwall_syn_received_total{service=\"web\"} 70",
        "floodwall_bpf_run_seconds_total{hook=\"xdp\",interface=\"eth0\"} 1.5",
        "floodwall_bpf_runs_total{hook=\"tc\",interface=\"eth0\"} 0",
        "floodwall_scrape_duration_seconds 0.004",
        "floodwall_maps_readable 1",
        "floodwall_interface_attached{interface=\"eth9\",mode=\"native\"} 0",
        "floodwall_syn_armed{service=\"web\"} 1",
        "floodwall_syn_armings_total{service=\"web\"} 4",
        "floodwall_stray_armed{service=\"*\"} 0",
        "floodwall_limits_tightened{service=\"web\"} 1",
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

/// The series of an exposition: name and labels.
fn series(text: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        let labels =
            rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        (name, labels.map(|(name, value)| (name, value.trim_matches('"'))).collect())
    });
    series.collect()
}

#[test]
fn labels_say_what_is_declared_and_all_of_it_from_the_start() {
    let text = exposition();
    let series = series(&text);
    for metric in METRICS {
        let of_it: Vec<_> = series.iter().filter(|(name, _)| *name == metric.name).collect();
        for label in metric.labels {
            let mut said: Vec<_> = of_it
                .iter()
                .map(|(_, labels)| labels.iter().find(|(name, _)| *name == label.name).expect(label.name).1)
                .collect();
            said.sort_unstable();
            said.dedup();
            let Values::Fixed(values) = label.values else { continue };
            let mut declared = values();
            declared.sort_unstable();
            let egress = |reason: &&str| Reason::ALL.iter().any(|r| r.label() == *reason && r.is_of_egress());
            match (metric.name, label.name) {
                // Each way has reasons of its own.
                ("floodwall_packets_total" | "floodwall_bytes_total", "reason") => {
                    declared.retain(|reason| !egress(reason));
                }
                ("floodwall_egress_packets_total" | "floodwall_egress_bytes_total", _) => {
                    assert!(said.iter().all(|value| declared.contains(value)), "{}: {said:?}", metric.name);
                    continue;
                }
                // What a rule can do depends on its action.
                ("floodwall_rule_packets_total" | "floodwall_rule_bytes_total", "verdict") => {
                    assert!(said.iter().all(|value| declared.contains(value)), "{}: {said:?}", metric.name);
                    continue;
                }
                _ => {}
            }
            assert_eq!(said, declared, "{} {}", metric.name, label.name);
        }
    }
}

#[test]
fn names_and_help_follow_the_conventions() {
    for Metric { name, kind, unit, labels, help } in METRICS {
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        let end = match unit {
            Unit::Bytes => "bytes",
            Unit::Seconds | Unit::Moment => "seconds",
            Unit::Packets | Unit::Flag | Unit::Number => "",
        };
        assert!(name.trim_end_matches("_total").ends_with(end), "{name} is in {unit:?}");
        assert!(help.len() >= 30 && help.ends_with('.') && !help.contains('|'), "{name}: {help}");
        assert!(labels.len() <= 3, "{name}");
    }
}

/// Nothing but the host and its configuration makes series: no traffic does. A large usual host stays below 2,000.
#[test]
fn a_usual_host_has_less_than_2000_series() {
    let usual = || {
        let (sample, facts) = (sample(), facts());
        let interfaces =
            ["eth0", "eth1"].map(|name| Interface { name: name.to_owned(), ..sample.interfaces[0].clone() });
        let names = |n: usize| (0..n).map(|number| format!("n{number}"));
        let rules = names(10).map(|name| RuleFacts { name, ..facts.rules[0].clone() }).collect();
        let feeds = names(5).map(|name| Line { name, ..facts.feeds[0].clone() }).collect();
        let facts = Facts { services: names(10).collect(), rules, feeds, ..facts };
        let sample = Sample { interfaces: interfaces.to_vec(), rules: vec![sample.rules[0]; 10], ..sample };
        Some((sample, facts))
    };
    let text = render(&registry(usual).unwrap()).unwrap();
    let count = |labels: &str| {
        series(&text).iter().filter(|(_, l)| l.iter().any(|(name, _)| *name == labels)).count()
    };
    let (all, interface, service) = (series(&text).len(), count("interface") / 2, count("service") / 11);
    println!("{all} series; an interface {interface}, a service {service}");
    assert!(all < 2000, "{all} series");
    assert!(interface < 500 && service < 40, "an interface {interface}, a service {service}");
}

#[test]
fn tables_that_cannot_be_read_are_told() {
    let text = render(&registry(|| None).unwrap()).unwrap();
    assert!(
        text.contains("\nfloodwall_maps_readable 0\n") && text.contains("floodwall_build_info{"),
        "{text}"
    );
    assert!(!text.contains("floodwall_packets_total"));
}

/// Where it is installed, the judge is Prometheus' own tool.
#[test]
fn promtool_finds_nothing() {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let Some(promtool) = crate::testing::promtool() else { return };
    let tool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut tool = tool.unwrap();
    tool.stdin.take().unwrap().write_all(exposition().as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// A line for each label and set of values.
fn label_rows() -> String {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for metric in METRICS {
        for label in metric.labels {
            let values = match label.values {
                Values::Named(whose) => format!("name of {whose}"),
                Values::Fixed(_) if label.name == "reason" => {
                    "see [below](#values-of-verdict-and-reason)".to_owned()
                }
                Values::Fixed(values) => {
                    values().iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
                }
            };
            let (key, name) = (format!("| `{}` | | {values} |", label.name), format!("`{}`", metric.name));
            match rows.iter_mut().find(|(row, _)| *row == key) {
                Some((_, of)) => of.push(name),
                None => rows.push((key, vec![name])),
            }
        }
    }
    let whose = |of: &[String]| if of.len() > 3 { format!("{} metrics", of.len()) } else { of.join(", ") };
    rows.iter().map(|(row, of)| row.replacen("| |", &format!("| {} |", whose(of)), 1) + "\n").collect()
}

#[test]
fn metrics_md_is_current() {
    let mut text = String::from(
        "# Metrics\n\nServed at `/metrics` of `[metrics] listen`. Read from the kernel's maps at each scrape; \
         every series is there from the start at 0;\nno address is ever a label. `process_*` metrics come with \
         them. This page is generated from the table in the source\n(`FLOODWALL_BLESS=1 cargo test -p \
         filter-user metrics_md`).\n\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for Metric { name, kind, unit, labels, help } in METRICS {
        let labels: Vec<_> = labels.iter().map(|label| label.name).collect();
        let (kind, unit, labels) = (kind.label(), unit.label(), labels.join(", "));
        let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
    }
    text.push_str("\n## Labels\n\n| label | of | values |\n|---|---|---|\n");
    text += &label_rows();
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

//! Keeps `docs/config.md` what the schema says. `FLOODWALL_BLESS=1 cargo test` writes it anew.

use std::fmt::Write as _;

use super::{
    json_schema,
    profile::{PRESETS, PROFILES},
    rule::{Knob, Section as _},
    schema::Settings,
    tests::EXAMPLE,
};
use crate::daemon::config::plan::FIXED;

const INTRO: &str = "\
# Configuration

A TOML file, `/etc/floodwall/floodwall.toml` unless `--config` says otherwise, and the files of `conf.d` beside it. They are read
at start and on SIGHUP (`systemctl reload floodwall`). An error in any of them changes nothing: it names file, line and column,
and the filter goes on with what it had. `floodwall config check` tells beforehand.

`conf.d/*.toml` are read in the order of their names, as if they went on where the main file ends: at most 64 files of 1 MiB, 4 MiB
together; names that begin with a dot are skipped. Tables (`[management]`) are joined. Arrays, of tables (`[[service]]`) and of values (`management.allow`),
go on from file to file. Anything else may be set in one file only; an error shows both places. `schema = 1` may stand in each.

`floodwall config show --origin` prints what it all comes to, and where each value is from. docs/floodwall.schema.json (`floodwall config schema`) is the
JSON Schema for editors: `#:schema ./floodwall.schema.json` as the first line makes Taplo and what is built on it complete and check.

This page is generated from the schema (`FLOODWALL_BLESS=1 cargo test -p filter-user docs`).

";

/// Behind what a reload does not change.
const RESTART: &str = " Another value takes a restart of the daemon.";

fn heading(path: &str, accepts: &str) -> String {
    if accepts.starts_with("array") { format!("[[{path}]]") } else { format!("[{path}]") }
}

fn table(text: &mut String, knobs: &[Knob], path: &str) {
    let _ = writeln!(text, "| key | accepts | default | meaning |\n|---|---|---|---|");
    for knob in knobs.iter().filter(|knob| knob.children().is_none()) {
        let Knob { name, help, accepts, .. } = knob;
        let is_fixed = FIXED.contains(&format!("{path}.{name}").as_str());
        let fixed = if is_fixed { RESTART } else { "" };
        let _ = writeln!(text, "| `{name}` | {accepts} | {} | {help}{fixed} |", knob.default_text());
    }
    for (knob, children) in knobs.iter().filter_map(|knob| Some((knob, knob.children()?))) {
        let inner = if path.is_empty() { knob.name.to_owned() } else { format!("{path}.{}", knob.name) };
        let _ = writeln!(text, "\n## `{}`\n\n{}\n", heading(&inner, &knob.accepts), knob.help);
        table(text, children, &inner);
    }
}

const RULES: &str = "
## How rules work

Rules are asked in the file's order, about every packet that is neither malformed nor link control (ND, MLD, DHCP), whose source is
not on a list, not banned and not forged beyond doubt, and whose TCP flags and fragment are legal; before limits for fragments and
ICMP, and before any service.

- All fields of a rule have to match; a field that is not there matches everything. Of a field's values one is enough.
- The first `pass` or `drop` that matches decides. `count`, a `limit` within its rate, a `challenge` for what is no SYN, and every rule
  with `observe = true` take note, and the next rule is asked.
- What no rule decides goes on to its service. What `pass` passes does not: no SYN defence, no limit of
  any kind. Its source still must not be this
  host's own, and has to have a way back where `reverse_path` asks for one.
- `challenge` is for SYNs to this host's addresses and to `protect`ed prefixes; on a service that is only observed it answers nothing.
- A later fragment has no ports, no TCP flags and no ICMP type. Rules that ask for one of these don't meet it, unless they say
  `fragment = \"any\"`; rules that ask for none do.
- `floodwall status` and `floodwall_rule_packets_total` tell what each rule did. The counters start at 0 when names or their order change.

All rules together cost one look-up for each field that any of them asks for, however many there are.

```toml
[[rule]]
name = \"memcached\"
proto = \"udp\"
sport = \"11211\"
action = \"drop\"

[[rule]]
name = \"ping\"
proto = [\"icmp\", \"icmpv6\"]
icmp_type = [\"8\", \"128\"]
action = \"limit\"
rate = \"10/s burst 20\"

[[rule]]
name = \"ssh-from-afar\"
src = [\"192.31.196.0/24\", \"2620:4f:8000::/48\"]
proto = \"tcp\"
dport = \"22\"
flags = \"syn,!ack\"
action = \"challenge\"
observe = true
```
";

const NEXT: &str = "
## Another XDP program behind this one

An interface has one XDP program. `next` names a program of somebody else's, a load balancer for instance, that gets the packets which
Floodwall lets pass (in observe mode: all of them). Dropped and answered ones never reach it.

```toml
[[interface]]
name = \"eth0\"
next = \"/sys/fs/bpf/balance\"
```

    bpftool prog load balance.o /sys/fs/bpf/balance type xdp

- The packet is as its sender sent it, without metadata: cookies are handed over as with `handover = \"decode\"`, where tc ingress sees
  what the next program has left of the packet. A connection opens if that is the ACK as it came.
- What it returns is its own business, and the packet's fate, also for `management.allow`: Floodwall has counted a pass, and so say
  `explain`, `replay` and the guard rails of `apply`, which don't run it. `floodwall panic` takes both off.
- It is pinned on a BPF file system, root's own, loaded for XDP (`BPF_XDP`, as libbpf, bpftool and aya do). It may take frames in several buffers (`xdp.frags`) or not: Floodwall's program is then loaded alike.
- While nothing is pinned there packets go to the stack, with a warning; the daemon looks every two seconds. Another program in its place
  is taken over by one swap. A pin that goes leaves its program at work until the next reload.
- It costs one jump a packet (`bpf_tail_call`); an interface without `next` has none. Linux 5.10 on x86-64, 6.0 on arm64.
";

fn profiles(text: &mut String) {
    *text += "\n## Profiles\n\n`profile` in a `[[service]]` is as if these lines were written there; what is written there counts.\n";
    for ((name, _), (help, lines)) in PRESETS.iter().zip(&PROFILES) {
        let _ = writeln!(text, "\n`{name}`: {help}\n\n```toml\n{lines}```");
    }
}

#[test]
fn config_md_is_current() {
    let mut text = format!("{INTRO}## Example\n\n```toml\n{EXAMPLE}```\n\n## Top level\n\n");
    table(&mut text, &Settings::knobs(), "");
    assert_eq!(text.matches(RESTART).count(), FIXED.len(), "each is a knob");
    text += RULES;
    text += NEXT;
    profiles(&mut text);
    crate::testing::is_current("config.md", &text);
}

#[test]
fn the_json_schema_is_current() {
    let text = serde_json::to_string_pretty(&json_schema::document()).unwrap();
    crate::testing::is_current("floodwall.schema.json", &(text + "\n"));
}

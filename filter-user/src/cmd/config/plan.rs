//! `floodwall config plan`

use std::{collections::BTreeSet, fmt::Write as _, path::Path, process::ExitCode};

use hyper::Method;
use serde_json::Value;

use crate::{
    cmd::{
        ConfigArg, client,
        failure::{Failure, Kind},
        output::Output,
    },
    config::{
        self, Host,
        changes::Setting,
        lists::compare::{Delta, Set},
    },
    daemon::config::{
        Candidate,
        peers::{Peers, SHOWN, Standing},
        plan::{Effect, Planned},
    },
};

/// `floodwall config plan`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  floodwall config plan                    the file, beside what the daemon goes by
  floodwall config plan -c new.toml --json the same for another file, for programs

Code 0: it can be applied; 5: it is invalid. Without a daemon it is compared with nothing.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

/// Does it.
pub(super) fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let mut loaded = config::load(&args.config.config)?;
    let host = Host::read()?;
    // Here, because carets need the text; the daemon would only send words.
    let (plan, report) = config::fit(&loaded, &host)?;
    let candidate = Candidate { sources: loaded.sources().to_vec() };
    let planned = match client::send::<Planned>(socket, Method::POST, "/v1/plan", &candidate) {
        Err(error) if is_unreachable(&error) => {
            loaded.lists = Some(plan.lists);
            Planned::compare(None, &loaded, &host)?
        }
        answer => answer?,
    };
    if !report.diagnostics.is_empty() && !out.json {
        out.note(&report.render(out.color_errors));
    }
    out.print(&planned, |planned| text(planned, out))?;
    Ok(ExitCode::SUCCESS)
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind == Kind::DaemonUnreachable)
}

/// Values of a list that are named one by one.
const NAMED: usize = 3;
/// Columns of a value.
const VALUE: usize = 28;

fn text(planned: &Planned, out: Output) -> String {
    if planned.is_nothing() {
        return "nothing would change".to_owned();
    }
    let with = if planned.running { "what the daemon goes by" } else { "nothing: there is no daemon" };
    let mut text = format!("compared with {with}\n");
    let changes = &planned.changes;
    for item in &changes.added {
        let _ = writeln!(text, "{} {} {}", out.paint(32, "+"), item.kind, item.name);
    }
    for item in &changes.removed {
        let _ = writeln!(text, "{} {} {}", out.paint(31, "-"), item.kind, item.name);
    }
    for order in &changes.reordered {
        let _ = writeln!(text, "~ order of {}s: {}", order.kind, some(&order.names));
    }
    for setting in &changes.settings {
        let _ = writeln!(text, "~ {}: {}", setting.path, change(setting));
    }
    lists(&mut text, planned);
    peers(&mut text, &planned.peers, out);
    effect(&mut text, &planned.effect, out);
    text
}

/// `old -> new`; of lists what comes and what goes.
fn change(setting: &Setting) -> String {
    let (Value::Array(old), Value::Array(new)) = (&setting.old, &setting.new) else {
        return format!("{} -> {}", short(&setting.old), short(&setting.new));
    };
    let words = |values: &[Value]| values.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    let (old, new) = (words(old), words(new));
    let only = |list: &BTreeSet<String>, without| -> Vec<_> {
        list.difference(without).map(|word| cut(word)).collect()
    };
    let parts = [("added", only(&new, &old)), ("removed", only(&old, &new))];
    let parts = parts.iter().filter(|(_, values)| !values.is_empty());
    let parts: Vec<_> = parts.map(|(what, values)| format!("{what} {}", some(values))).collect();
    if parts.is_empty() { "in another order".to_owned() } else { parts.join("; ") }
}

fn short(value: &Value) -> String {
    if value.is_null() {
        return "(not set)".to_owned();
    }
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= VALUE {
        return text.to_owned();
    }
    text.chars().take(VALUE - 2).chain("..".chars()).collect()
}

fn some(values: &[String]) -> String {
    let more = values.len().saturating_sub(NAMED);
    let named = values[..values.len() - more].join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn lists(text: &mut String, planned: &Planned) {
    for (name, list) in [("allow", &planned.lists.allow), ("block", &planned.lists.block)] {
        let Delta { entries: [before, now], added, removed } = list;
        for (what, Set { prefixes, first }) in [("more", added), ("less", removed)] {
            if *prefixes > 0 {
                let first: Vec<_> = first.iter().take(NAMED - 1).map(ToString::to_string).collect();
                let dots = if *prefixes > first.len() as u64 { ", .." } else { "" };
                let number = count(*prefixes, "prefix", "prefixes");
                let _ = writeln!(text, "~ {name} list: {number} {what} ({}{dots})", first.join(", "));
            }
        }
        if before != now {
            let now = count(*now, "entry", "entries");
            let _ = writeln!(text, "~ {name} list: {now} instead of {before}");
        }
    }
}

fn count(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

fn peers(text: &mut String, peers: &Peers, out: Output) {
    if let Some(why) = &peers.unknown {
        let _ = writeln!(text, "{why}");
    }
    if peers.total == 0 {
        return;
    }
    let touched =
        count(peers.total, "connection of this host fares worse:", "connections of this host fare worse:");
    let _ = writeln!(text, "{}", out.paint(33, &touched));
    for touched in &peers.first {
        let now = match touched.after {
            Standing::Blocked => "would be blocked",
            _ => "would not be allowed any more",
        };
        let _ = writeln!(text, "  {} -> {}: {now}", touched.peer, touched.local);
    }
    if peers.total > SHOWN as u64 {
        let _ = writeln!(text, "  and {} more", peers.total - SHOWN as u64);
    }
}

fn effect(text: &mut String, effect: &Effect, out: Output) {
    let _ = if effect.programs.is_empty() {
        writeln!(text, "programs: those that run go on")
    } else {
        let why = some(&effect.programs);
        writeln!(text, "programs: loaded anew and swapped in at once, because of\n  {why}")
    };
    for table in &effect.emptied {
        let _ = writeln!(text, "table {table}: starts empty");
    }
    for knob in &effect.restart {
        let _ =
            writeln!(text, "{}", out.paint(33, &format!("{knob}: a reload refuses it, restart the daemon")));
    }
    for knob in &effect.next_start {
        let _ = writeln!(text, "{knob}: takes effect at the daemon's next start");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_of_lists_name_what_comes_and_goes() {
        let said = |old: Value, new: Value| change(&Setting { path: String::new(), old, new });
        assert_eq!(said(json!("observe"), json!("enforce")), "\"observe\" -> \"enforce\"");
        assert_eq!(said(json!(null), json!(5)), "(not set) -> 5");
        assert_eq!(said(json!(["a", "b"]), json!(["b", "c"])), "added \"c\"; removed \"a\"");
        assert_eq!(said(json!(["a", "b"]), json!(["b", "a"])), "in another order");
        assert_eq!(said(json!([]), json!([1, 2, 3, 4, 5])), "added 1, 2, 3 and 2 more");
        assert_eq!(short(&json!("x".repeat(99))).chars().count(), VALUE);
    }
}

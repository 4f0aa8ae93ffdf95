//! An incident in Markdown: what is sent to colleagues, or put into a ticket.

use std::fmt::{Display, Write as _};

use super::form::{Incident, handshakes, utc};
use crate::daemon::detect::{ActLine, Heavy, VectorLine};

/// Lines of the course's table, at most.
const LINES: usize = 20;

fn table(text: &mut String, title: &str, head: &str, rows: &[String]) {
    if rows.is_empty() {
        return;
    }
    let columns = head.matches('|').count() - 1;
    let _ = writeln!(text, "\n## {title}\n\n{head}\n|{}", "---|".repeat(columns));
    for row in rows {
        let _ = writeln!(text, "{row}");
    }
}

fn heaviest<K: Display>(list: &[Heavy<K>]) -> Vec<String> {
    list.iter().map(|heavy| format!("| {} | {} | {} |", heavy.who, heavy.packets, heavy.at_least)).collect()
}

fn course(incident: &Incident) -> Vec<String> {
    let each = incident.timeline.len().div_ceil(LINES).max(1);
    let highest = incident.timeline.chunks(each).filter_map(|points| points.iter().max_by_key(|p| p.pps));
    let row = |p: &crate::detect::record::Point| {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            p.after, p.pps, p.bps, p.passed, p.dropped, p.answered, p.handshakes
        )
    };
    highest.map(row).collect()
}

/// The whole report.
#[must_use]
pub fn markdown(incident: &Incident) -> String {
    let Incident { id, attack, collateral, .. } = incident;
    let mut text = format!("# Incident {id}\n\n| | |\n|---|---|\n");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {value} |");
    };
    row("State", incident.state.label().to_owned());
    row("Service", attack.service.clone());
    row("Found", utc(attack.began));
    row("Over", attack.ended.map_or("-".to_owned(), utc));
    row("Length", format!("{} s", incident.seconds()));
    row("Peak", format!("{} packets/s, {} bit/s", attack.peak_pps, attack.peak_bps));
    row("Configuration", format!("revision {}, mode {}", incident.revision, incident.mode));
    row("Packets of the host", incident.fates_text(|number| number.to_string()));
    row("Collateral", incident.collateral_text());
    row("Handshakes per second", handshakes(collateral));
    let vectors = attack.vectors.iter().map(|v: &VectorLine| {
        format!("| {} | {} | {} | {} | {} |", v.vector, v.usual_pps, v.threshold_pps, v.peak_pps, v.peak_bps)
    });
    let vectors: Vec<_> = vectors.collect();
    table(&mut text, "Vectors", "| vector | usual/s | attack from | peak/s | peak bit/s |", &vectors);
    let acts = attack.acts.iter().map(|act: &ActLine| {
        format!("| {} | {} | {} |", utc(act.at), act.what, act.undone.map_or("-".to_owned(), utc))
    });
    table(&mut text, "What was done", "| when | what | undone |", &acts.collect::<Vec<_>>());
    let head = "| s | packets/s | bit/s | passed/s | dropped/s | answered/s | handshakes/s |";
    table(&mut text, "Course", head, &course(incident));
    let head = "| prefix | packets, estimated | at least |";
    table(
        &mut text,
        "Prefixes, as packets give them (forged ones among them)",
        head,
        &heaviest(&incident.prefixes),
    );
    let head = "| prefix | handshakes, estimated | at least |";
    table(&mut text, "Prefixes of sources that completed handshakes", head, &heaviest(&incident.proven));
    let title = "Prefixes of those that completed more than detect.heavy a second, each by itself";
    table(&mut text, title, head, &heaviest(&incident.heavy));
    let samples = incident.samples.iter().map(|line| format!("    {}", line.text()));
    let samples: Vec<_> = samples.collect();
    if !samples.is_empty() {
        let _ = writeln!(text, "\n## Samples\n\nSources without their last bits.\n\n{}", samples.join("\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::form::tests::incident, *};

    #[test]
    fn a_report_has_everything() {
        let text = markdown(&incident(1_795_374_900, 7));
        for wanted in [
            "# Incident 20261122T191500Z-7\n",
            "| Over | 2026-11-22T19:16:30Z |\n",
            "| syn | 3 | 1000 | 12345678 | 9876543210 |\n",
            "| 2026-11-22T19:15:01Z | banned 192.31.196.0/24 for 600 s: auto/syn#7 | 2026-11-22T19:16:30Z |\n",
            "| 44.0.0.0/24 | 5000 | 4999 |\n",
            "192.31.196.0:40000 > 203.0.113.1:80 SYN",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        let rows = text.lines().skip_while(|line| *line != "## Course").skip(4);
        assert_eq!(rows.take_while(|line| line.starts_with('|')).count(), 18, "{text}");
        assert!(!text.contains("196.9"), "{text}");
    }
}

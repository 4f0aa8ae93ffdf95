//! Replays for people.

use std::fmt::Write as _;

use super::{Difference, Fate, Line, Replay, Tally};

impl Replay {
    /// A table of verdicts.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n\n", self.file, self.program.text());
        let _ = writeln!(text, "{:>12} {:>16}  {:<11} reason", "packets", "bytes", "verdict");
        for Line { fate: Fate { verdict, reason }, packets, bytes } in &self.verdicts {
            let _ = writeln!(text, "{packets:>12} {bytes:>16}  {verdict:<11} {reason}");
        }
        text + "\n" + &self.read.text()
    }
}

impl Difference {
    /// A table of changes.
    #[must_use]
    pub fn text(&self) -> String {
        let (now, then) = (self.program.text(), self.candidate.text());
        let mut text = format!("{}: {now}\nagainst {then}\n\n", self.file);
        if self.changes.is_empty() {
            text += "no packet would have another fate\n";
        } else {
            let _ = writeln!(text, "{:>12}  {:<30} with the candidate", "packets", "now");
        }
        for change in &self.changes {
            let fate = |Fate { verdict, reason }| format!("{verdict} {reason}");
            let _ = writeln!(text, "{:>12}  {:<30} {}", change.packets, fate(change.from), fate(change.to));
            let _ = writeln!(text, "{:>14}packet {}: {}", "", change.first, change.example);
        }
        text + "\n" + &self.read.text()
    }
}

impl Tally {
    fn text(&self) -> String {
        let mut text =
            format!("{} packets, {} bytes, judged in {:.1} s\n", self.packets, self.bytes, self.seconds);
        if self.cut > 0 {
            let _ =
                writeln!(text, "{} of them were cut by the capture: their data are taken as zeros", self.cut);
        }
        for (why, packets) in &self.skipped {
            let _ = writeln!(text, "{packets} more were left out: {}", why.label());
        }
        if let Some(damaged) = &self.damaged {
            let _ = writeln!(text, "{damaged}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use filter_common::reason::Reason;

    use super::*;
    use crate::explain::{Subject, capture::Skipped, replay::Change};

    fn subject(fingerprint: Option<&str>) -> Subject {
        let fingerprint = fingerprint.map(str::to_owned);
        Subject { interface: "eth0".to_owned(), fingerprint, mode: "enforce", next: None }
    }

    fn tally() -> Tally {
        Tally { packets: 3, bytes: 180, cut: 1, skipped: [(Skipped::Outgoing, 2)].into(), ..Tally::default() }
    }

    #[test]
    fn a_replay_is_a_table() {
        let fate = Fate::new(Reason::Bogon, false);
        let verdicts = vec![Line { fate, packets: 3, bytes: 180 }];
        let file = "a.pcap".to_owned();
        let replay = Replay { schema: 1, file, program: subject(Some("1f3a90c2")), verdicts, read: tally() };
        let expected = "\
a.pcap: on eth0, program 1f3a90c2, enforce

     packets            bytes  verdict     reason
           3              180  drop        bogon

3 packets, 180 bytes, judged in 0.0 s
1 of them were cut by the capture: their data are taken as zeros
2 more were left out: sent by the capturing host
";
        assert_eq!(replay.text(), expected);
    }

    #[test]
    fn a_difference_shows_an_example() {
        let change = Change {
            from: Fate::new(Reason::Pass, false),
            to: Fate::new(Reason::BlockList, false),
            packets: 2,
            bytes: 120,
            first: 17,
            example: "UDP 9.9.9.9:1 > 192.31.196.2:53, TTL 64, 60 bytes".to_owned(),
        };
        let mut difference = Difference {
            schema: 1,
            file: "a.pcap".to_owned(),
            program: subject(Some("1f3a90c2")),
            candidate: subject(None),
            changed: 2,
            changes: vec![change],
            read: tally(),
        };
        let text = difference.text();
        assert!(text.contains("\n           2  pass pass                      drop block_list\n"), "{text}");
        assert!(text.contains("packet 17: UDP 9.9.9.9:1") && text.contains("against on eth0, the candidate"));
        difference.changes.clear();
        assert!(difference.text().contains("no packet would have another fate"));
    }
}

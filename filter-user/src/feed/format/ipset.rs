//! `ipset save`: `create NAME hash:net ..`, then `add NAME ENTRY [timeout SECONDS] [nomatch] ..`.

use std::io::BufRead;

use super::lines::{each, utf8};
use crate::feed::{
    Fault,
    entries::{Place, Sink},
};

pub(super) fn read(text: &mut impl BufRead, sink: &mut Sink<'_>) -> Result<bool, Fault> {
    let mut created = false;
    each(text, |line, number| {
        let place = Place::Line(number);
        let line = match utf8(line) {
            Ok(line) => line,
            Err(why) => return sink.bad(place, why),
        };
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, ..) => Ok(()),
            (Some(word), ..) if word.starts_with('#') => Ok(()),
            (Some("create"), Some(_), Some(_)) => {
                created = true;
                Ok(())
            }
            (Some("add"), Some(_), Some(entry)) => {
                if words.any(|word| word == "nomatch") {
                    sink.except(entry, place)
                } else {
                    sink.entry(entry, place)
                }
            }
            _ => sink.bad(place, "neither \"create\" nor \"add\""),
        }
    })?;
    Ok(created)
}

//! An address or a prefix a line; `#` and `;` begin comments (FireHOL, Team Cymru, DROP as text).

use std::io::BufRead;

use super::lines::{each, utf8};
use crate::feed::{
    Fault,
    entries::{Place, Sink},
};

pub(super) fn read(text: &mut impl BufRead, sink: &mut Sink<'_>) -> Result<bool, Fault> {
    each(text, |line, number| {
        let end = line.iter().position(|byte| matches!(byte, b'#' | b';')).unwrap_or(line.len());
        let entry = line[..end].trim_ascii();
        match utf8(entry) {
            Ok("") => Ok(()),
            Ok(entry) => sink.entry(entry, Place::Line(number)),
            Err(why) => sink.bad(Place::Line(number), why),
        }
    })?;
    Ok(false)
}

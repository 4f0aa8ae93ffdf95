//! Spamhaus DROP: `{"cidr":"..","sblid":"..","rir":".."}` a line; the last is `{"type":"metadata","records":..}`.

use std::io::BufRead;

use serde::Deserialize;

use super::lines::each;
use crate::feed::{
    Fault,
    entries::{Place, Sink},
};

#[derive(Deserialize)]
struct Line {
    cidr: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    records: Option<u64>,
}

pub(super) fn read(text: &mut impl BufRead, sink: &mut Sink<'_>) -> Result<bool, Fault> {
    let (mut entries, mut end) = (0_u64, None);
    each(text, |line, number| {
        if line.is_empty() {
            return Ok(());
        }
        let place = Place::Line(number);
        match serde_json::from_slice::<Line>(line) {
            Ok(Line { cidr: Some(cidr), .. }) => {
                entries += 1;
                sink.entry(&cidr, place)
            }
            Ok(Line { kind: Some(kind), records, .. }) if kind == "metadata" => {
                end = Some(records);
                Ok(())
            }
            Ok(_) => sink.bad(place, "an object without \"cidr\""),
            Err(error) => sink.bad(place, &format!("not JSON: {error}")),
        }
    })?;
    match end {
        None => Err(Fault::Cut("the line that ends it, with \"type\":\"metadata\", is missing".to_owned())),
        Some(Some(records)) if records != entries => {
            Err(Fault::Cut(format!("{entries} entries, but it says that it has {records}")))
        }
        Some(_) => Ok(true),
    }
}

//! CSV of `cscli decisions`: the first line names the columns, of which `value` (or `ip`), `scope`, `type` (or `action`) and `simulated`
//! count.

use std::io::BufRead;

use super::{
    crowdsec::is_ban,
    lines::{each, utf8},
};
use crate::feed::{
    Fault,
    entries::{Place, Sink},
};

/// Where the columns are.
struct Columns {
    value: usize,
    scope: Option<usize>,
    kind: Option<usize>,
    simulated: Option<usize>,
}

impl Columns {
    fn of(line: &str) -> Option<Self> {
        let names: Vec<_> = fields(line).map(str::to_ascii_lowercase).collect();
        let at = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
        Some(Self {
            value: at(&["value", "ip"])?,
            scope: at(&["scope"]),
            kind: at(&["type", "action"]),
            simulated: at(&["simulated"]),
        })
    }
}

pub(super) fn is_head(line: &str) -> bool {
    line.contains(',') && Columns::of(line).is_some()
}

pub(super) fn read(text: &mut impl BufRead, sink: &mut Sink<'_>) -> Result<bool, Fault> {
    let mut columns = None;
    each(text, |line, number| {
        let place = Place::Line(number);
        let line = match utf8(line) {
            Ok("") => return Ok(()),
            Ok(line) => line,
            Err(why) => return sink.bad(place, why),
        };
        let Some(columns) = &columns else {
            let found = Columns::of(line);
            columns = Some(found.ok_or_else(|| {
                Fault::Form("the first line names no column \"value\" or \"ip\"".to_owned())
            })?);
            return Ok(());
        };
        let fields: Vec<_> = fields(line).collect();
        let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).copied();
        let Some(value) = field(Some(columns.value)) else { return sink.bad(place, "too few columns") };
        // As in `Ip:192.31.196.9`.
        let (scope, value) = match value.split_once(':') {
            Some((scope, value))
                if scope.eq_ignore_ascii_case("ip") || scope.eq_ignore_ascii_case("range") =>
            {
                (Some(scope), value)
            }
            _ => (field(columns.scope), value),
        };
        let simulated = field(columns.simulated).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if is_ban(scope, field(columns.kind), simulated) { sink.entry(value, place) } else { sink.other() }
    })?;
    Ok(columns.is_some())
}

/// Fields of a line; quotes hold commas together.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let end = text.bytes().position(|byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim().trim_matches('"'))
    })
}

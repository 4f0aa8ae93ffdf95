//! Lines of bounded length.

use std::io::{BufRead, Read as _};

use crate::feed::Fault;

/// Longest line, in bytes; a comment may be long, an entry never is.
const LONGEST: usize = 16 << 10;

/// Calls `take` with every line, without its end, and its number from 1.
pub(super) fn each(
    text: &mut impl BufRead,
    mut take: impl FnMut(&[u8], u64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        let read = text.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.len() > LONGEST {
            return Err(Fault::Form(format!("line {number} is longer than {LONGEST} bytes")));
        }
        if line.contains(&0) {
            return Err(Fault::Encoding("there are zero bytes in it: it is no text"));
        }
        take(line.trim_ascii(), number)?;
    }
}

/// A line as text, for an entry.
pub(super) fn utf8(line: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(line).map_err(|_| "not UTF-8")
}

//! Allow and block lists: the prefixes of the configuration and of the files that it names.

pub mod compare;
pub mod file;
pub mod ranges;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, ops::Range, path::PathBuf, sync::Arc};

use filter_common::list::{
    Class, Listed,
    build::{resolve, summarise},
};
use ipnet::{IpNet, Ipv4Net};
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use self::ranges::Ranges;
use super::{
    diagnostic::{Diagnostic, Problems},
    schema, source,
};
use crate::dataplane::plan::{Lists, Prefixes};

/// IPv4 prefixes that fit, both lists together.
pub const MOST_V4: usize = 1 << 20;
/// IPv6 prefixes that fit, both lists together.
pub const MOST_V6: usize = 1 << 18;

/// Reads everything that `[lists]` names.
pub fn read(settings: &schema::Lists, problems: &mut Problems) -> Lists {
    let allow = given("allow", &settings.allow, &settings.allow_files, problems);
    let block = given("block", &settings.block, &settings.block_files, problems);
    fits(settings, &allow, &block, problems);
    if problems.any_error() {
        return Lists::default();
    }
    tables(allow, block)
}

/// A block list of these prefixes and nothing else.
#[must_use]
pub fn blocking(prefixes: &[Ipv4Net]) -> Lists {
    tables(Ranges::default(), prefixes.iter().copied().map(IpNet::V4).collect())
}

/// What both lists come to.
fn tables(allow: Ranges, block: Ranges) -> Lists {
    let prefixes = [allow.prefixes(), block.prefixes()];
    let (v4, v6) = (resolve(allow.v4, block.v4), resolve(allow.v6, block.v6));
    let mut hash = Sha256::new();
    for span in &v4 {
        hash.update([span.first.to_ne_bytes(), span.last.to_ne_bytes()].concat());
        hash.update([span.class as u8]);
    }
    for span in &v6 {
        hash.update([span.first.to_ne_bytes(), span.last.to_ne_bytes()].concat());
        hash.update([span.class as u8]);
    }
    let mut listed = Box::new(Listed::EMPTY);
    summarise(&v4, &v6, &mut listed);
    Lists { v4, v6, listed, prefixes, digest: hash.finalize().into(), ..Lists::default() }
}

/// These lists with more of both; what is allowed stays so.
#[must_use]
pub fn with_more(written: &Arc<Lists>, allowed: &[IpNet], more: Ranges) -> Lists {
    let more_prefixes = more.prefixes();
    let mut block = more;
    let [mut listed, blocked] = written.prefixes;
    let mut allow: Ranges = allowed.iter().copied().collect();
    let let_through = allow.prefixes();
    (listed.v4, listed.v6) = (listed.v4 + let_through.v4, listed.v6 + let_through.v6);
    for span in &written.v4 {
        if span.class == Class::Allow { &mut allow.v4 } else { &mut block.v4 }.push((span.first, span.last));
    }
    for span in &written.v6 {
        if span.class == Class::Allow { &mut allow.v6 } else { &mut block.v6 }.push((span.first, span.last));
    }
    Lists {
        prefixes: [listed, Prefixes { v4: blocked.v4 + more_prefixes.v4, v6: blocked.v6 + more_prefixes.v6 }],
        written: Some(written.clone()),
        ..tables(allow, block)
    }
}

fn given(
    list: &str,
    inline: &[Spanned<IpNet>],
    files: &[Spanned<PathBuf>],
    problems: &mut Problems,
) -> Ranges {
    let mut given = Ranges::default();
    for prefix in inline {
        match refused(list, prefix.as_ref()) {
            None => given.push(&prefix.as_ref().trunc()),
            Some(why) => problems.push(Diagnostic::error(prefix.span(), why).hint(WIDE_HINT)),
        }
    }
    for path in files {
        from_file(list, path, &mut given, problems);
    }
    given
}

const WIDE_HINT: &str = "list the prefixes that you mean";

/// Why a prefix is in no list.
fn refused(list: &str, prefix: &IpNet) -> Option<String> {
    (prefix.prefix_len() == 0).then(|| format!("{prefix} would {list} every source"))
}

/// Faults of one file that are told.
const TOLD: usize = 5;

fn from_file(list: &str, path: &Spanned<PathBuf>, given: &mut Ranges, problems: &mut Problems) {
    let shown = source::shown(path.as_ref());
    let bytes = match file::read(path.as_ref()) {
        Ok(bytes) => bytes,
        Err(why) => {
            let error = Diagnostic::error(path.span(), format!("{shown}: {why}"));
            problems.push(error.hint("one address or prefix a line, at most 256 MiB"));
            return;
        }
    };
    let (mut faults, mut odd) = (0, (0, 0));
    for entry in file::entries(&bytes) {
        let fault = match entry.prefix {
            Ok(prefix) => {
                if prefix != prefix.trunc() {
                    odd = (odd.0 + 1, if odd.0 == 0 { entry.line } else { odd.1 });
                }
                given.push(&prefix.trunc());
                refused(list, &prefix)
            }
            Err(why) => Some(why),
        };
        let Some(why) = fault else { continue };
        faults += 1;
        if faults <= TOLD {
            let error = Diagnostic::error(path.span(), format!("{shown}:{}: {why}", entry.line));
            problems.push(error.hint("write 192.31.196.0/24 or 2620:4f:8000::/48; # and ; begin a comment"));
        }
    }
    if odd.0 > 0 {
        let message =
            format!("{shown}: {} entries have bits beyond their length, the first in line {}", odd.0, odd.1);
        problems.push(
            Diagnostic::warning(path.span(), message).hint("they are read as the networks around them"),
        );
    }
}

/// Where the lists begin in the file.
fn place(settings: &schema::Lists) -> Option<Range<usize>> {
    let inline = settings.block.iter().chain(&settings.allow).map(Spanned::span);
    let files = settings.block_files.iter().chain(&settings.allow_files).map(Spanned::span);
    files.chain(inline).next()
}

fn fits(settings: &schema::Lists, allow: &Ranges, block: &Ranges, problems: &mut Problems) {
    for (family, found, most) in [
        ("IPv4", allow.v4.len() + block.v4.len(), MOST_V4),
        ("IPv6", allow.v6.len() + block.v6.len(), MOST_V6),
    ] {
        if found > most {
            let message = format!("{found} {family} prefixes in the lists, at most {most}");
            problems.push(Diagnostic::error(place(settings), message).hint("aggregate them"));
        }
    }
}

/// Tells about addresses of the operator's own that are blocked all the same.
pub fn warn_of_own(
    settings: &schema::Lists,
    lists: &Lists,
    management: &[IpNet],
    local: &[IpAddr],
    problems: &mut Problems,
) {
    let blocked: Vec<_> = management.iter().filter(|prefix| touches_block(lists, prefix)).collect();
    if let Some(first) = blocked.first() {
        let message = format!("{} management prefixes are on the block list: {first}", blocked.len());
        let warning = Diagnostic::warning(place(settings), message);
        problems.push(warning.hint("they pass all the same: nothing overrules management.allow"));
    }
    let blocked: Vec<_> =
        local.iter().filter(|address| touches_block(lists, &IpNet::from(**address))).collect();
    if let Some(first) = blocked.first() {
        let message = format!("{} own addresses are on the block list: {first}", blocked.len());
        let warning = Diagnostic::warning(place(settings), message);
        problems.push(warning.hint("neighbours may be, too: is it the right list?"));
    }
}

/// Whether some address of the prefix is blocked.
fn touches_block(lists: &Lists, prefix: &IpNet) -> bool {
    macro_rules! touches {
        ($spans:expr, $net:expr) => {{
            let (first, last) = ($net.network().to_bits(), $net.broadcast().to_bits());
            let from = $spans.partition_point(|span| span.last < first);
            let inside = $spans[from..].iter().take_while(|span| span.first <= last);
            inside.into_iter().any(|span| span.class == Class::Block)
        }};
    }
    match prefix {
        IpNet::V4(net) => touches!(lists.v4, net),
        IpNet::V6(net) => touches!(lists.v6, net),
    }
}

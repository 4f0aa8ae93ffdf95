//! The host's syslog: one line (RFC 3164, the form of local messages; who receives it adds the time and the host).

use super::{Failed, Notice, datagram, journal::priority};
use crate::config::schema::Notify;

/// Where syslog daemons listen.
const SOCKET: &str = "/dev/log";
/// Facility `daemon`.
const FACILITY: u8 = 3;

pub(super) fn send(target: &Notify, notice: &Notice) -> Result<(), Failed> {
    datagram::send(target, SOCKET, line(notice).as_bytes())
}

fn line(notice: &Notice) -> String {
    let level = FACILITY << 3 | priority(notice.event);
    format!("<{level}>floodwall[{}]: {} ({})", std::process::id(), notice.line(), notice.incident())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::notice, *};
    use crate::daemon::notify::Event;

    #[test]
    fn a_line_tells_how_urgent_it_is() {
        let text = line(&notice(Event::Began, 1));
        assert!(text.starts_with("<28>floodwall["), "daemon.warning: {text}");
        assert!(text.ends_with("]: Floodwall on edge: an attack began: service web, syn, peak 12M packets/s (20261122T191500Z-1)"), "{text}");
        assert!(line(&Notice::test("edge", 1)).starts_with("<29>"));
    }
}

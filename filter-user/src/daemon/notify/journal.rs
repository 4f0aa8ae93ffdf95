//! The journal, with fields: `journalctl MESSAGE_ID=..` finds all notifications.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL> in its few lines: a library waits for a journal that has stopped to read, without a limit.

use super::{Event, Failed, Notice, datagram};
use crate::config::schema::Notify;

/// What all of these messages have in common.
const MESSAGE_ID: &str = "e1c691e3a0b8481f846a7aa1ad680744";
/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

pub(super) fn send(target: &Notify, notice: &Notice) -> Result<(), Failed> {
    datagram::send(target, SOCKET, &message(notice)?)
}

fn message(notice: &Notice) -> Result<Vec<u8>, String> {
    let json = serde_json::to_string(notice).map_err(|error| error.to_string())?;
    let fields = [
        ("MESSAGE", notice.line()),
        ("MESSAGE_ID", MESSAGE_ID.to_owned()),
        ("PRIORITY", priority(notice.event).to_string()),
        ("SYSLOG_IDENTIFIER", "floodwall".to_owned()),
        ("FLOODWALL_EVENT", notice.event.label().to_owned()),
        ("FLOODWALL_INCIDENT", notice.incident().to_owned()),
        ("FLOODWALL_SERVICE", notice.service().to_owned()),
        ("FLOODWALL_NOTICE", json),
    ];
    let mut bytes = Vec::new();
    for (name, value) in fields {
        // The form for any bytes: name, newline, length, value, newline.
        bytes.extend(
            [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value.as_bytes(), b"\n"].concat(),
        );
    }
    Ok(bytes)
}

/// As syslog counts them (RFC 5424, table 2): warning, or notice.
pub(super) const fn priority(event: Event) -> u8 {
    match event {
        Event::Began | Event::Vector | Event::Still => 4,
        Event::Ended | Event::Test => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::notice, *};

    #[test]
    fn fields_have_their_lengths() {
        let bytes = message(&notice(Event::Began, 1)).unwrap();
        let (mut rest, mut names) = (&bytes[..], Vec::new());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            names.push(String::from_utf8(rest[..end].to_vec()).unwrap());
            let length = u64::from_le_bytes(rest[end + 1..end + 9].try_into().unwrap()) as usize;
            assert_eq!(rest[end + 9 + length], b'\n');
            rest = &rest[end + 10 + length..];
        }
        assert!(rest.is_empty() && names.len() == 8 && names[0] == "MESSAGE", "{names:?}");
    }
}

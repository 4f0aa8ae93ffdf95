//! A try that failed.

use std::time::{Duration, SystemTime};

use ureq::http::StatusCode;

/// The longest pause that a server may ask for: notifications are given up in time, and nobody may put that off.
const LONGEST: Duration = Duration::from_mins(5);

/// What is to become of the notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is tried again, after longer and longer pauses.
    Later,
    /// Not before that time has gone by.
    After(Duration),
    /// It will never be taken: whatever waits behind it comes next.
    Never,
}

/// Why, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// For people.
    pub why: String,
    /// What comes next.
    pub again: Again,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, again: Again::Later }
    }
}

impl From<&str> for Failed {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

impl Failed {
    /// A server's answer other than 2xx (RFC 9110, section 15); `retry_after` is its header of that name.
    pub(super) fn answer(status: StatusCode, retry_after: Option<&str>, now: SystemTime) -> Self {
        let why = format!("the server answered {status}");
        match status.as_u16() {
            300..=399 => format!("{why}: name the right URL").into(),
            // About this body, not about the way to it (as 400 may be): the same would be said of it again.
            413 | 422 => Self { why: format!("{why}: it will not be sent again"), again: Again::Never },
            429 | 503 => {
                let pause = retry_after.and_then(|text| pause(text, now));
                Self { why, again: pause.map_or(Again::Later, |pause| Again::After(pause.min(LONGEST))) }
            }
            _ => why.into(),
        }
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn pause(text: &str, now: SystemTime) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_what_comes_next() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 19:15:00 GMT").unwrap();
        let later = "Sun, 22 Nov 2026 19:16:00 GMT";
        for (status, header, wanted) in [
            (404, None, Again::Later),
            (500, Some("5"), Again::Later),
            (429, None, Again::Later),
            (429, Some("30"), Again::After(Duration::from_secs(30))),
            (503, Some(later), Again::After(Duration::from_mins(1))),
            (503, Some("Sun, 22 Nov 2026 19:00:00 GMT"), Again::Later),
            (503, Some("99999999999999"), Again::After(LONGEST)),
            (503, Some("99999999999999999999999"), Again::Later),
            (503, Some("-1"), Again::Later),
            (400, None, Again::Later),
            (413, Some("30"), Again::Never),
            (422, None, Again::Never),
            (301, None, Again::Later),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Failed::answer(status, header, now).again, wanted, "{status} {header:?}");
        }
    }
}

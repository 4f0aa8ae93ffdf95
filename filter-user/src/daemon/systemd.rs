//! What systemd wants to know (`sd_notify(3)`); nothing happens where there is none.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tracing::debug;

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        debug!("sd_notify: {error}");
    }
}

/// Start-up or a reload is finished.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins.
pub fn reloading() {
    // Since version 253 systemd wants to know when (`Type=notify-reload`).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The daemon ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The loop turns.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often to say so: half of what the unit asks for, as systemd recommends.
#[must_use]
pub fn watchdog_period() -> Duration {
    const NEVER: Duration = Duration::from_hours(24);
    watchdog_enabled().map_or(NEVER, |period| (period / 2).max(Duration::from_millis(10)))
}

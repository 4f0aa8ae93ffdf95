//! Alertmanager's API, version 2: an alert for each attacked service, repeated while it lasts.

use serde_json::{Value, json};

use super::{
    Failed, Notice,
    post::{post, url},
    queue::REFRESH,
};
use crate::{config::schema::Notify, daemon::incidents::form::utc};

/// Behind the address that `to` names.
const PATH: &str = "/api/v2/alerts";
/// An alert that nobody repeats for so long is over, seconds.
const LASTS: u64 = 5 * REFRESH.as_secs();

pub(super) fn send(target: &Notify, notice: &Notice) -> Result<(), Failed> {
    let place = url(target)?;
    let base = place.trim_end_matches('/');
    let url = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
    post(target, &url, alerts(notice).to_string().as_bytes(), &[])
}

/// The labels tell which alert it is, so what changes meanwhile is in the annotations.
fn alerts(notice: &Notice) -> Value {
    let (name, severity, began, ended) = match &notice.attack {
        Some(attack) => {
            let ended = if attack.is_active() { None } else { attack.summary.ended };
            ("FloodwallIncident", "warning", attack.summary.began, ended.unwrap_or(notice.time + LASTS))
        }
        None => ("FloodwallTest", "info", notice.time, notice.time + REFRESH.as_secs()),
    };
    json!([{
        "labels": { "alertname": name, "severity": severity, "instance": notice.host, "service": notice.service() },
        "annotations": {
            "summary": notice.line(),
            "description": notice.text(),
            "incident": notice.incident(),
        },
        "startsAt": utc(began),
        "endsAt": utc(ended.max(began)),
    }])
}

#[cfg(test)]
mod tests {
    use super::{super::tests::notice, *};
    use crate::daemon::notify::Event;

    #[test]
    fn an_alert_ends_with_its_attack_or_by_itself() {
        let alert = |notice: &Notice| alerts(notice)[0].clone();
        let (active, over) = (alert(&notice(Event::Still, 1)), alert(&notice(Event::Ended, 1)));
        assert_eq!(active["labels"], over["labels"], "it is the same alert");
        assert_eq!(active["startsAt"], "2026-11-22T19:15:00Z");
        assert_eq!(active["endsAt"], "2026-11-22T19:20:30Z", "five minutes behind what was said last");
        assert_eq!(over["endsAt"], "2026-11-22T19:16:30Z");
        let test = alert(&Notice::test("edge", 1_795_374_900));
        assert_eq!(
            (&test["labels"]["alertname"], &test["endsAt"]),
            (&json!("FloodwallTest"), &json!("2026-11-22T19:16:00Z"))
        );
    }
}

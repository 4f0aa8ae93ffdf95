//! Who is told of what.

use std::sync::{MutexGuard, PoisonError};

use super::Live;
use crate::{
    config::schema::Notify,
    daemon::{
        deadline::wall,
        incidents::{Incident, Standing},
        notify::{Event, Failed, Job, Line, Notice, Outbox, send},
    },
};

/// What was said of an attack: how many vectors, and where it stood.
pub(super) type Said = Option<(usize, Standing)>;

/// What has happened to it since.
fn happened(said: Said, now: (usize, Standing)) -> Vec<Event> {
    let ended = (now.1 != Standing::Active).then_some(Event::Ended);
    match said {
        None => [Some(Event::Began), ended].into_iter().flatten().collect(),
        Some((_, Standing::Active)) => {
            let vector = (said.is_some_and(|(vectors, _)| now.0 > vectors)).then_some(Event::Vector);
            let any: Vec<_> = [vector, ended].into_iter().flatten().collect();
            if any.is_empty() { vec![Event::Still] } else { any }
        }
        Some(_) => Vec::new(),
    }
}

impl Live {
    /// Taken by itself or behind the lock of incidents, and never held while anything is sent.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they are configured.
    #[must_use]
    pub fn targets(&self) -> Vec<Notify> {
        self.state().settings.notify.clone()
    }

    /// Says what has happened since `said`; what is said now.
    pub(super) fn say(&self, said: Said, incident: &Incident) -> (usize, Standing) {
        let (targets, now) = (self.targets(), (incident.attack.vectors.len(), incident.state));
        for event in happened(said, now) {
            self.outbox().tell(&targets, event, incident);
        }
        now
    }

    /// What is to be sent now. They are marked as running.
    pub(in crate::daemon) fn due_notices(&self) -> Vec<Job> {
        let targets = self.targets();
        self.outbox().due(&targets)
    }

    /// One try. This takes as long as it takes.
    pub(in crate::daemon) fn send_notice(&self, job: &Job) {
        let result = send(&job.target, &job.notice);
        self.outbox().done(job, result);
    }

    /// A test of one target.
    pub(in crate::daemon) fn try_out(&self, target: &Notify) -> Result<(), Failed> {
        let notice = Notice::test(self.outbox().host(), wall());
        let result = send(target, &notice);
        self.outbox().tried(target.name.as_ref(), &result);
        result
    }

    /// Writes down what nobody was told yet. It waits for the disk.
    pub fn keep_notices(&self) {
        self.outbox().keep();
    }

    /// For the control socket and the metrics.
    #[must_use]
    pub fn told(&self) -> Vec<Line> {
        let targets = self.targets();
        self.outbox().lines(&targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        use Event::{Began, Ended, Still, Vector};
        use Standing::{Active, Over};
        for (said, now, wanted) in [
            (None, (1, Active), &[Began][..]),
            (None, (1, Over), &[Began, Ended]),
            (Some((1, Active)), (1, Active), &[Still]),
            (Some((1, Active)), (2, Active), &[Vector]),
            (Some((1, Active)), (2, Over), &[Vector, Ended]),
            (Some((1, Active)), (1, Over), &[Ended]),
            (Some((1, Over)), (1, Over), &[]),
        ] {
            assert_eq!(happened(said, now), wanted, "{said:?} {now:?}");
        }
    }
}

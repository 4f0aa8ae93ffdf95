//! Sampled packets on request.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use anyhow::Result;
use ipnet::IpNet;
use nix::net::if_::if_indextoname;

use super::Live;
use crate::{
    cmd::failure::{Failure, Kind},
    daemon::{
        deadline::Clock,
        events::{Asked, Filter, History, Kept, Line, Page},
    },
};

/// Its name, or its number if it is gone.
pub(super) fn interface(index: u32) -> String {
    let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| index.to_string())
}

impl Live {
    /// Taken by itself or behind `detection`, never before another.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that are wanted, behind a number.
    pub fn events(&self, asked: &Asked, filter: &Filter) -> Result<Page> {
        let services = self.sampled_services()?;
        if let Some(unknown) = asked
            .service
            .as_ref()
            .filter(|wanted| asked.after.is_none() && *wanted != "*" && !services.contains(*wanted))
        {
            let mut names: Vec<_> = services.iter().map(String::as_str).filter(|name| *name != "*").collect();
            names.push("*");
            let hint = format!("there are: {}", names.join(", "));
            return Err(Failure::new(Kind::Usage, format!("there is no service {unknown:?}"), hint).into());
        }
        let name = |kept: &Kept| services.get(usize::from(kept.service)).map_or("*", String::as_str);
        let figures = self.state().dataplane.event_figures()?;
        let lost = figures.full + figures.over;
        let history = self.history();
        let Some(after) = asked.after else {
            return Ok(Page { schema: 1, next: history.last(), lost, ..Page::default() });
        };
        let (missed, rest) = history.after(after);
        let mut next = history.last();
        let mut found: Vec<Kept> = Vec::new();
        for kept in rest.filter(|kept| filter.wants(kept, name(kept))) {
            found.push(*kept);
            if found.len() == asked.most() {
                next = kept.number;
                break;
            }
        }
        drop(history);
        let (clock, mut interfaces) = (Clock::now()?, BTreeMap::new());
        let line = |kept: &Kept| {
            let index = kept.event.ifindex;
            let interface = interfaces.entry(index).or_insert_with(|| interface(index));
            Line::new(kept, clock.seconds(kept.event.time), [interface, name(kept)], asked.frames)
        };
        Ok(Page { schema: 1, next, missed, lost, events: found.iter().filter_map(line).collect() })
    }

    /// What somebody makes of all events that are remembered, oldest first.
    pub fn remembered<T>(&self, make: impl FnOnce(&mut dyn Iterator<Item = &Kept>) -> T) -> T {
        make(&mut self.history().after(0).1)
    }

    /// The last remembered drop of a source.
    pub fn last_drop(&self, source: &IpNet, frames: bool) -> Result<Option<Line>> {
        let services = self.sampled_services()?;
        let Some(kept) = self.history().last_drop(source).copied() else { return Ok(None) };
        let name = services.get(usize::from(kept.service)).map_or("*", String::as_str);
        let interface = interface(kept.event.ifindex);
        Ok(Line::new(&kept, Clock::now()?.seconds(kept.event.time), [&interface, name], frames))
    }

    /// Names by service number, if anything is sampled.
    fn sampled_services(&self) -> Result<Vec<String>> {
        let hint = "set events.enabled = true and detect.mode = \"observe\"";
        let failure = || Failure::new(Kind::Failed, "no packets are sampled", hint);
        Ok(self.detection().sampled_services().ok_or_else(failure)?)
    }
}

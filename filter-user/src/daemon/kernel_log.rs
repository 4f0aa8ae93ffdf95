//! What the kernel programs say themselves: rare events, through `aya-log`, in the daemon's own log.
//!
//! Their buffers are found by ids, which takes `CAP_SYS_ADMIN`. The packaged service has none: there the same events are told from
//! pinned tables alone (ports that stepped down, hand-overs by outcome).

use aya_log::EbpfLogger;
use tracing::debug;

use crate::dataplane::Dataplane;

/// The log buffers of the attached programs.
#[derive(Default)]
pub struct KernelLog(Vec<EbpfLogger<&'static dyn log::Log>>);

impl KernelLog {
    /// Opens the buffers of the programs that are attached now: each load has its own.
    #[must_use]
    pub fn open(dataplane: &Dataplane) -> Self {
        let programs = dataplane.programs().unwrap_or_default();
        let open = |id| {
            EbpfLogger::init_from_id(id)
                .inspect_err(|error| debug!("no log of kernel program {id}: {error}"))
                .ok()
        };
        Self(programs.iter().filter(|program| program.hook == "tc").filter_map(|p| open(p.id)).collect())
    }

    /// Hands what they said since the last time to the daemon's log.
    pub fn flush(&mut self) {
        self.0.iter_mut().for_each(EbpfLogger::flush);
    }
}

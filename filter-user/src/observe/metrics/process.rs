//! The daemon's own figures, as every exporter has them.
//!
//! The library counts whole seconds of CPU: what takes a thousandth of a core would be nothing for a quarter of an hour, and then a
//! whole second at once.

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use prometheus::{
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{Counter, MetricFamily},
};

const CPU: &str = "process_cpu_seconds_total";

/// The library's collector with microseconds of CPU.
pub(super) struct Process(ProcessCollector);

impl Process {
    pub(super) fn new() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let Some(used) = used() else { return families };
        let cpu = families.iter_mut().filter(|family| family.name() == CPU);
        for metric in cpu.flat_map(MetricFamily::mut_metric) {
            let mut counter = Counter::default();
            counter.set_value(used);
            metric.set_counter(counter);
        }
        families
    }
}

/// Seconds of CPU, of all threads, in user space and in the kernel.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a daemon's life")]
fn used() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    Some((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn parts_of_a_second_count() {
        let process = Process::new();
        let told = || {
            let families = process.collect();
            let cpu = families.iter().find(|family| family.name() == CPU).unwrap();
            cpu.get_metric()[0].get_counter().get_value()
        };
        let (before, began) = (told(), Instant::now());
        while began.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        assert!(told() > before, "{before}");
        assert_eq!(process.collect().len(), process.desc().len());
    }
}

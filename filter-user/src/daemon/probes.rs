//! What has to work while an apply waits to be confirmed: TCP connections through the filter.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::live::Live;
use crate::config::value::Probe;

/// Time for one try: a SYN and two retransmissions.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(2);

/// Those that work now, all tried at once.
pub async fn working(probes: Vec<Probe>) -> Vec<Probe> {
    let tries: Vec<_> = probes.into_iter().map(|probe| tokio::spawn(attempt(probe))).collect();
    let mut working = Vec::new();
    for attempt in tries {
        if let Ok((probe, true)) = attempt.await {
            working.push(probe);
        }
    }
    working
}

async fn attempt(probe: Probe) -> (Probe, bool) {
    let connected = timeout(PATIENCE, TcpStream::connect((probe.host.as_str(), probe.port))).await;
    let works = matches!(connected, Ok(Ok(_)));
    (probe, works)
}

/// Tries them as long as an apply waits, until `stop`.
pub async fn watch(live: Arc<Live>, stop: CancellationToken) {
    let rounds = async {
        loop {
            sleep(PAUSE).await;
            let Some((revision, probes)) = live.probes() else { continue };
            let working = working(probes.clone()).await;
            let failed: Vec<_> = probes.into_iter().filter(|probe| !working.contains(probe)).collect();
            live.probed(revision, &failed);
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = rounds => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_that_work_are_told_from_those_that_do_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = |listener: &tokio::net::TcpListener| Probe {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let (open, gone) = (probe(&listener), probe(&closed));
        drop(closed);
        assert_eq!(working(vec![gone, open.clone()]).await, [open]);
    }
}

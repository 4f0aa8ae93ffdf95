//! `BPF_PROG_TEST_RUN` of an XDP program (net/bpf/test_run.c).

use anyhow::{Context as _, Result};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};

/// Bytes of `struct xdp_md` (linux/bpf.h): six u32.
const CONTEXT: usize = 24;
/// The shortest frame that the kernel takes: an Ethernet header.
pub const SHORTEST: usize = 14;
/// The longest that is run: an IP packet of 65535 bytes behind an Ethernet header and two VLAN tags.
pub const LONGEST: usize = 65_535 + 22;
/// Room for what comes back.
pub(super) const ROOM: usize = LONGEST + 256;

/// Runs the program once, as if the frame had come in on that interface of this thread's network namespace (`None`: on the loopback
/// device). Returns `XDP_DROP` and so on, and the frame as it was left, without metadata.
pub(super) fn run<'a>(
    program: &Xdp,
    interface: Option<u32>,
    frame: &[u8],
    out: &'a mut [u8],
) -> Result<(u32, &'a [u8])> {
    let mut context = [0; CONTEXT];
    let end = u32::try_from(frame.len()).context("a frame that long")?;
    context[4..8].copy_from_slice(&end.to_ne_bytes());
    context[12..16].copy_from_slice(&interface.unwrap_or(0).to_ne_bytes());
    let mut left = [0; CONTEXT];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut *out),
        ctx_in: Some(&context),
        ctx_out: Some(&mut left),
        ..TestRunOptions::new()
    };
    let result = program.test_run(options).context("BPF_PROG_TEST_RUN")?;
    let metadata = u32::from_ne_bytes([left[0], left[1], left[2], left[3]]) as usize;
    let length = result.data_size_out as usize;
    let frame = out.get(metadata..length).context("more came back than there is room for")?;
    Ok((result.return_value, frame))
}

//! Boots a kernel and reads what it says.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::image::{Kernel, Machine};
use crate::process;
use crate::test::Tally;

/// How long a kernel may take for all of it.
pub(super) const LIMIT: Duration = Duration::from_mins(15);
/// The machine's last line is this and a number: 0 if all went well.
pub(super) const EXIT: &str = "EXIT rc=";

/// Only what is critical comes between the tests' lines; a panic ends the machine, as `-no-reboot` wants it. Guards
/// against speculation cost a translated kernel most.
const APPEND: &str =
    "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off apparmor=0 rcupdate.rcu_expedited=1";
/// No hardware help, no firmware that looks around, no devices but a console.
const MACHINE: [&str; 20] = [
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max",
    "-M",
    "q35",
    "-bios",
    "qboot.rom",
    "-smp",
    "2",
    "-m",
    "2048",
    "-nographic",
    "-no-reboot",
    "-nodefaults",
    "-serial",
    "stdio",
    "-append",
    APPEND,
    "-kernel",
];

/// Runs the machine to its end and shows what it says as it comes.
pub(super) fn boot(machine: &Machine, kernel: &Kernel, initramfs: &Path) -> Result<Tally> {
    let began = Instant::now();
    let mut qemu =
        Running::start(machine.qemu().args(MACHINE).arg(&kernel.vmlinuz).arg("-initrd").arg(initramfs))?;
    let lines = lines(qemu.0.stdout.take().context("qemu has no stdout")?);
    let (mut tally, mut first, mut code) = (Tally::default(), None, None);
    while let Ok(line) = lines.recv_timeout(LIMIT.saturating_sub(began.elapsed())) {
        first.get_or_insert_with(|| began.elapsed());
        println!("{line}");
        tally.read(&line);
        code = exit_code(&line).or(code);
    }
    let (took, booted) = (began.elapsed().as_secs_f32(), first.unwrap_or_default().as_secs_f32());
    tally.complete = code == Some(0);
    match code {
        Some(code) => println!(
            "{}: exit code {code} {took:.1} s after power on, booted in {booted:.1} s",
            kernel.release
        ),
        None => println!("{}: no exit code in {took:.1} s: it hung or crashed", kernel.release),
    }
    Ok(tally)
}

/// qemu; ended when dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let name = process::name(command);
        let child = command.stdout(Stdio::piped()).spawn();
        Ok(Self(child.with_context(|| format!("cannot run {name}"))?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines as they come; the console ends them with a carriage return, too.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The number in the machine's last line.
fn exit_code(line: &str) -> Option<i32> {
    line.strip_prefix(EXIT)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_has_an_exit_code() {
        assert_eq!(exit_code("EXIT rc=0"), Some(0));
        assert_eq!(exit_code("EXIT rc=1\r"), Some(1));
        assert_eq!(exit_code("test EXIT rc=0 ... ok"), None);
        assert_eq!(exit_code("EXIT rc="), None);
    }

    #[test]
    fn lines_come_without_their_ends() {
        let lines: Vec<String> = lines(&b"a\r\nb\n\r\nc"[..]).iter().collect();
        assert_eq!(lines, ["a", "b", "", "c"]);
    }
}
